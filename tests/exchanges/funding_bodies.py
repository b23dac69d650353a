"""What each exchange answers about funding: recorded or documented, unknown fields included.

Two contracts each: BTC, and one whose interval is not the usual one where a document shows it.
"""

__all__ = ["FUNDING", "TOLD"]

PREMIUM_INDEX = [
    # Recorded 2024-11-27.
    {
        "symbol": "UXLINKUSDT", "markPrice": "0.55630000", "indexPrice": "0.55594286",
        "estimatedSettlePrice": "0.55586379", "lastFundingRate": "0.00005000",
        "interestRate": "0.00005000", "nextFundingTime": 1732723200000, "time": 1732715655000,
    },
    {
        "symbol": "SEIUSDT", "markPrice": "0.66890000", "indexPrice": "0.66862217",
        "estimatedSettlePrice": "0.66342974", "lastFundingRate": "0.00034238",
        "interestRate": "0.00010000", "nextFundingTime": 1732723200000, "time": 1732715655000,
    },
]  # fmt: skip
FUNDING_INFO = [
    {
        "symbol": "UXLINKUSDT", "adjustedFundingRateCap": "0.02500000",
        "adjustedFundingRateFloor": "-0.02500000", "fundingIntervalHours": 4, "disclaimer": False,
    },
    # Coin-margined contracts stand in this list, too.
    {
        "symbol": "BTCUSD_PERP", "adjustedFundingRateCap": "0.02500000",
        "adjustedFundingRateFloor": "-0.02500000", "fundingIntervalHours": 8, "disclaimer": False,
    },
]  # fmt: skip
LINEAR_TICKERS = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {
        "category": "linear",
        "list": [
            # Recorded 2026-08-13.
            {
                "symbol": "BTCUSDT", "tickDirection": "ZeroPlusTick", "lastPrice": "63561.60",
                "markPrice": "63560.80", "indexPrice": "63585.51", "fundingIntervalHour": "8",
                "fundingCap": "0.005", "nextFundingTime": "1786665600000",
                "fundingRate": "0.00005013", "bid1Price": "63561.50", "ask1Price": "63561.60",
            },
            {
                "symbol": "MUSDT", "lastPrice": "2.05", "fundingIntervalHour": "1",
                "fundingCap": "0.04", "nextFundingTime": "1786640400000",
                "fundingRate": "-0.01250", "bid1Price": "2.04", "ask1Price": "2.05",
            },
        ],
    },
    "retExtInfo": {},
    "time": 1786637000000,
}  # fmt: skip
FUNDING_RATES = {
    "code": "0",
    "msg": "",
    "data": [
        # As documented.
        {
            "formulaType": "noRate", "fundingRate": "0.0000182221218054",
            "fundingTime": "1743609600000", "impactValue": "", "instId": "BTC-USDT-SWAP",
            "instType": "SWAP", "interestRate": "", "maxFundingRate": "0.00375",
            "method": "current_period", "minFundingRate": "-0.00375", "nextFundingRate": "",
            "nextFundingTime": "1743638400000", "premium": "0.0000910113652644",
            "settFundingRate": "0.0000145824401745", "settState": "settled",
            "ts": "1743588686291",
        },
        {
            "fundingRate": "-0.0031", "fundingTime": "1743595200000",
            "instId": "LAYER-USDT-SWAP", "instType": "SWAP", "nextFundingTime": "1743602400000",
            "settState": "settled", "ts": "1743588686291",
        },
    ],
}  # fmt: skip
CONTRACT_RATES = {
    "success": True,
    "code": 0,
    "data": [
        # As documented, 2025-10.
        {
            "symbol": "BTC_USDT", "fundingRate": 0.000018, "maxFundingRate": 0.0018,
            "minFundingRate": -0.0018, "collectCycle": 8, "nextSettleTime": 1761897600000,
            "timestamp": 1761879755894,
        },
        {
            "symbol": "SHELL_USDT", "fundingRate": -0.00942, "maxFundingRate": 0.02,
            "minFundingRate": -0.02, "collectCycle": 4, "nextSettleTime": 1761883200000,
            "timestamp": 1761879755894,
        },
    ],
}  # fmt: skip

FUNDING = {
    "binance_futures": (PREMIUM_INDEX, FUNDING_INFO),
    "bybit_futures": (LINEAR_TICKERS,),
    "okx_futures": (FUNDING_RATES,),
    "mexc_futures": (CONTRACT_RATES,),
}
TOLD = {
    "binance_futures": [
        ("UXLINKUSDT", 0.00005, 4 * 3600.0, 1732723200000),
        ("SEIUSDT", 0.00034238, 8 * 3600.0, 1732723200000),
    ],
    "bybit_futures": [
        ("BTCUSDT", 0.00005013, 8 * 3600.0, 1786665600000),
        ("MUSDT", -0.0125, 3600.0, 1786640400000),
    ],
    "okx_futures": [
        ("BTC-USDT-SWAP", 0.0000182221218054, 8 * 3600.0, 1743609600000),
        ("LAYER-USDT-SWAP", -0.0031, 2 * 3600.0, 1743595200000),
    ],
    "mexc_futures": [
        ("BTC_USDT", 0.000018, 8 * 3600.0, 1761897600000),
        ("SHELL_USDT", -0.00942, 4 * 3600.0, 1761883200000),
    ],
}
"""(symbol, rate, interval in seconds, next settlement)."""
