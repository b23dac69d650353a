/* The receiver's connection to loopback: a blocking socket, or with -DOVER_TLS one through OpenSSL.
 *
 * OpenSSL reads from memory that is filled from the socket in large parts: left alone it makes two
 * system calls for each record, and when it reads ahead it moves what is left after each record. The
 * server's certificate is checked as a feed does it.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_BUFFER_BYTES (256 * 1024)

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int wire_dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return server;
}

#ifdef OVER_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>

typedef struct {
    SSL *tls;
    BIO *received;
    int server;
} wire_t;

static void wire_die(const char *what) {
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static wire_t wire_open(int port, const char *ca_file) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1) wire_die(ca_file);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    wire_t wire = {SSL_new(context), BIO_new(BIO_s_mem()), wire_dial(port)};
    BIO *to_send = BIO_new_socket(wire.server, BIO_NOCLOSE);
    if (!wire.tls || !wire.received || !to_send ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(wire.tls), "127.0.0.1") != 1)
        wire_die("TLS");
    /* Empty means that more is to come, not that the server has gone. */
    BIO_set_mem_eof_return(wire.received, -1);
    SSL_set_bio(wire.tls, wire.received, to_send);
    return wire;
}

/* Take what has come from the socket. */
static void wire_fill(wire_t wire) {
    static char bytes[WIRE_BUFFER_BYTES];
    ssize_t got = recv(wire.server, bytes, sizeof bytes, 0);
    if (got <= 0) die("recv");
    if (BIO_write(wire.received, bytes, (int)got) != got) wire_die("BIO_write");
}

static void wire_write(wire_t wire, const char *text, int length) {
    int state;
    while ((state = SSL_connect(wire.tls)) != 1) {
        if (SSL_get_error(wire.tls, state) != SSL_ERROR_WANT_READ) wire_die("TLS handshake");
        wire_fill(wire);
    }
    if (SSL_write(wire.tls, text, length) != length) wire_die("SSL_write");
}

/* At least one byte: what one record holds, or what there is room for. */
static size_t wire_read(wire_t wire, char *into, size_t room) {
    for (;;) {
        int got = SSL_read(wire.tls, into, (int)room);
        if (got > 0) return (size_t)got;
        if (SSL_get_error(wire.tls, got) != SSL_ERROR_WANT_READ) wire_die("SSL_read");
        wire_fill(wire);
    }
}

#else

typedef int wire_t;

static wire_t wire_open(int port, const char *ca_file) {
    (void)ca_file;
    return wire_dial(port);
}

static void wire_write(wire_t wire, const char *text, int length) {
    if (write(wire, text, (size_t)length) != length) die("write");
}

/* At least one byte: what has come, or what there is room for. */
static size_t wire_read(wire_t wire, char *into, size_t room) {
    ssize_t got = recv(wire, into, room, 0);
    if (got <= 0) die("recv");
    return (size_t)got;
}

#endif
#endif
