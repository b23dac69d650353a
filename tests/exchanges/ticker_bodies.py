"""Prices and volumes as each exchange documents them, beside the listing that they belong to.

Where the documentation's example is about another symbol, the name is the listing's.
"""

__all__ = ["LISTINGS", "TICKERS"]

LISTINGS = {
    "binance_spot": {
        "symbols": [
            {
                "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
                "filters": [],
            }
        ]
    },
    "binance_futures": {
        "symbols": [
            {
                "symbol": "BTCUSDT", "status": "TRADING", "contractType": "PERPETUAL",
                "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "filters": [],
            }
        ]
    },
    "bybit_spot": {
        "retCode": 0,
        "retMsg": "OK",
        "result": {
            "list": [
                {"symbol": "BTCUSDT", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT"}
            ]
        },
    },
    "bybit_futures": {
        "retCode": 0,
        "retMsg": "OK",
        "result": {
            "list": [
                {
                    "symbol": "BTCUSDT", "status": "Trading", "contractType": "LinearPerpetual",
                    "baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT",
                }
            ]
        },
    },
    "okx_spot": {
        "code": "0",
        "msg": "",
        "data": [{"instId": "BTC-USDT", "state": "live", "baseCcy": "BTC", "quoteCcy": "USDT"}],
    },
    "okx_futures": {
        "code": "0",
        "msg": "",
        "data": [
            {
                "instId": "BTC-USDT-SWAP", "state": "live", "instFamily": "BTC-USDT",
                "settleCcy": "USDT", "ctType": "linear", "ctVal": "0.01", "ctMult": "1",
                "ctValCcy": "BTC",
            }
        ],
    },
    "mexc_spot": {
        "symbols": [
            {
                "symbol": "BTCUSDT", "status": "1", "baseAsset": "BTC", "quoteAsset": "USDT",
                "baseAssetPrecision": 8, "quotePrecision": 2,
            }
        ]
    },
    "mexc_futures": {
        "success": True,
        "code": 0,
        "data": [
            {
                "symbol": "BTC_USDT", "baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT",
                "contractSize": 0.0001, "priceUnit": 0.1, "volUnit": 1, "minVol": 1, "state": 0,
            }
        ],
    },
}  # fmt: skip

BYBIT_ROW = {
    "symbol": "BTCUSDT", "bid1Price": "20517.96", "bid1Size": "2", "ask1Price": "20527.77",
    "ask1Size": "1.862172", "lastPrice": "20533.13", "prevPrice24h": "20393.48",
    "turnover24h": "243765620.65899866", "volume24h": "11801.27771",
}  # fmt: skip
OKX_ROW = {
    "last": "43351.1", "lastSz": "1", "askPx": "43351.2", "askSz": "11", "bidPx": "43351",
    "bidSz": "5", "open24h": "43000", "vol24h": "2222", "volCcy24h": "2222",
    "sodUtc0": "0.1", "ts": "1597026383085",
}  # fmt: skip

TICKERS = {
    "binance_spot": {
        "/api/v3/ticker/24hr": [
            {
                "symbol": "BTCUSDT", "priceChange": "-94.99999800", "lastPrice": "4.00000200",
                "lastQty": "200.00000000", "bidPrice": "4.00000000", "bidQty": "100.00000000",
                "askPrice": "4.00000200", "askQty": "100.00000000", "volume": "8913.30000000",
                "quoteVolume": "15.30000000", "openTime": 1499783499040,
                "closeTime": 1499869899040, "count": 76,
            }
        ]
    },
    "binance_futures": {
        "/fapi/v1/premiumIndex": [
            {
                "symbol": "BTCUSDT", "markPrice": "11793.63104562",
                "indexPrice": "11781.80495970", "estimatedSettlePrice": "11781.16138815",
                "lastFundingRate": "0.00038246", "interestRate": "0.00010000",
                "nextFundingTime": 1597392000000, "time": 1597370495002,
            }
        ],
        "/fapi/v1/ticker/24hr": [
            {
                "symbol": "BTCUSDT", "priceChange": "-94.99999800", "lastPrice": "4.00000200",
                "lastQty": "200.00000000", "volume": "8913.30000000",
                "quoteVolume": "15.30000000", "openTime": 1499783499040,
                "closeTime": 1499869899040, "count": 76,
            }
        ],
    },
    "bybit_spot": {
        "/v5/market/tickers": {
            "retCode": 0,
            "retMsg": "OK",
            "result": {
                "category": "spot",
                "list": [{**BYBIT_ROW, "usdIndexPrice": "20784.12009279"}],
            },
            "retExtInfo": {},
            "time": 1673859087947,
        }
    },
    "bybit_futures": {
        "/v5/market/tickers": {
            "retCode": 0,
            "retMsg": "OK",
            "result": {
                "category": "linear",
                "list": [
                    {
                        **BYBIT_ROW, "markPrice": "20522.5", "indexPrice": "20521.9",
                        "fundingRate": "0.0001", "nextFundingTime": "1673884800000",
                    }
                ],
            },
            "retExtInfo": {},
            "time": 1673859087947,
        }
    },
    "okx_spot": {
        "/api/v5/market/tickers": {
            "code": "0",
            "msg": "",
            "data": [{"instType": "SPOT", "instId": "BTC-USDT", **OKX_ROW}],
        }
    },
    "okx_futures": {
        "/api/v5/market/tickers": {
            "code": "0",
            "msg": "",
            "data": [{"instType": "SWAP", "instId": "BTC-USDT-SWAP", **OKX_ROW}],
        },
        "/api/v5/market/index-tickers": {
            "code": "0",
            "msg": "",
            "data": [
                {
                    "instId": "BTC-USDT", "idxPx": "43350", "high24h": "43649.7",
                    "sodUtc0": "43444.1", "open24h": "43640.8", "ts": "1649419644492",
                }
            ],
        },
    },
    "mexc_spot": {
        "/api/v3/ticker/24hr": [
            {
                "symbol": "BTCUSDT", "priceChange": "184.34", "lastPrice": "46263.71",
                "bidPrice": "46260.38", "bidQty": "", "askPrice": "46260.41", "askQty": "",
                "volume": "1732.461487", "quoteVolume": None, "openTime": 1641349500000,
                "closeTime": 1641349582808, "count": None,
            }
        ]
    },
    "mexc_futures": {
        "/api/v1/contract/ticker": {
            "success": True,
            "code": 0,
            "data": [
                {
                    "contractId": 10, "symbol": "BTC_USDT", "lastPrice": 29015, "bid1": 29019,
                    "ask1": 29019.5, "volume24": 380388668, "amount24": 1105314649.44675,
                    "holdVol": 15202615, "indexPrice": 29006.2, "fairPrice": 29010.8,
                    "fundingRate": 0.00015, "maxBidPrice": 31906.5, "minAskPrice": 26105.5,
                    "timestamp": 1653651419009,
                }
            ],
        }
    },
}  # fmt: skip
