window.YTD.account.part0 = [
  {
    "account": {
      "username": "mara_tidewater",
      "accountId": "990001",
      "accountDisplayName": "Mara Lindqvist"
    }
  }
]
