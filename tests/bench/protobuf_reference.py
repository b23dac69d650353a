"""MEXC's spot frames as the protobuf package reads them: the reference of tests and benchmarks.

Field numbers and types as MEXC published them on 2026-06-17; the descriptors are built here, so
that no generated file and no compiler is needed.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "mexc"
CHANNEL = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"

Field = descriptor_pb2.FieldDescriptorProto

# (number, name, type); a type in capitals is another message, "*" in front of it: repeated.
TICKER = (
    (1, "bidPrice", "text"),
    (2, "bidQuantity", "text"),
    (3, "askPrice", "text"),
    (4, "askQuantity", "text"),
    (5, "version", "text"),
    (6, "lastOrderCreateTime", "int64"),
)
LEVEL = ((1, "price", "text"), (2, "quantity", "text"))
LIMIT_DEPTHS = (
    (1, "asks", "*LEVEL"),
    (2, "bids", "*LEVEL"),
    (3, "eventType", "text"),
    (4, "version", "text"),
    (5, "lastOrderCreateTime", "int64"),
)
DEAL = (
    (1, "price", "text"),
    (2, "quantity", "text"),
    (3, "tradeType", "int32"),
    (4, "time", "int64"),
    (5, "tradeId", "text"),
)
DEALS = ((1, "deals", "*DEAL"), (2, "eventType", "text"))
WRAPPER = (
    (1, "channel", "text"),
    (3, "symbol", "text"),
    (4, "symbolId", "text"),
    (5, "createTime", "int64"),
    (6, "sendTime", "int64"),
)
BODIES = (
    (303, "publicLimitDepths", "LIMIT_DEPTHS"),
    (314, "publicAggreDeals", "DEALS"),
    (315, "publicAggreBookTicker", "TICKER"),
)
MESSAGES = {
    "TICKER": TICKER,
    "LEVEL": LEVEL,
    "LIMIT_DEPTHS": LIMIT_DEPTHS,
    "DEAL": DEAL,
    "DEALS": DEALS,
    "WRAPPER": WRAPPER,
}


def _wrapper_class(text_type):
    """Build the schema with strings of *text_type*; return the class of a whole frame."""
    types = {"text": text_type, "int32": Field.TYPE_INT32, "int64": Field.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name=f"spot{text_type}.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            field = message.field.add(
                name=field_name, number=number, type=types.get(kind, Field.TYPE_MESSAGE)
            )
            field.label = Field.LABEL_REPEATED if kind[0] == "*" else Field.LABEL_OPTIONAL
            if kind not in types:
                field.type_name = f".{PACKAGE}.{kind.lstrip('*')}"
        if name == "WRAPPER":
            message.oneof_decl.add(name="body")
            for number, field_name, kind in BODIES:
                message.field.add(
                    name=field_name, number=number, type=Field.TYPE_MESSAGE, oneof_index=0,
                    type_name=f".{PACKAGE}.{kind}", label=Field.LABEL_OPTIONAL,
                )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.WRAPPER"))


Wrapper = _wrapper_class(Field.TYPE_STRING)
"""One frame."""

RawWrapper = _wrapper_class(Field.TYPE_BYTES)
"""The same, of texts that need not be UTF-8."""


def ticker_frame(symbol, bid, bid_qty, ask, ask_qty, *, version="", sent_ms=0, created_ms=0):
    """One quote as MEXC sends it."""
    frame = Wrapper(channel=CHANNEL + symbol, symbol=symbol, sendTime=sent_ms)
    frame.publicAggreBookTicker.SetInParent()
    body = frame.publicAggreBookTicker
    body.bidPrice, body.bidQuantity, body.askPrice, body.askQuantity = bid, bid_qty, ask, ask_qty
    body.version, body.lastOrderCreateTime = version, created_ms
    return frame.SerializeToString(deterministic=True)
