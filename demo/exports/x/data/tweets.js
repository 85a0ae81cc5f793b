window.YTD.tweets.part0 = [
 {
  "tweet": {
   "id_str": "1985000000000000001",
   "id": "1985000000000000001",
   "full_text": "An 80 GB file, copied, sizes equal to the byte. The checksum differed. One bad memory module on the way, a few bits among 640 billion; the sizes had agreed because size is the one thing corruption leaves alone.",
   "created_at": "Wed Nov 12 07:15:00 +0000 2025",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   }
  }
 },
 {
  "tweet": {
   "id_str": "1921000000000000001",
   "id": "1921000000000000001",
   "full_text": "The rye took five hours longer than the release. Only one of them can be rolled back.",
   "created_at": "Sat May 10 17:20:00 +0000 2025",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   }
  }
 },
 {
  "tweet": {
   "id_str": "1893000000000000001",
   "id": "1893000000000000001",
   "full_text": "@pgfriend Only if the index is partial. Ours covers 400 rows of nine million, which is why nobody has noticed it is there.",
   "created_at": "Fri Feb 21 12:40:00 +0000 2025",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   },
   "in_reply_to_status_id_str": "1892999999999999999",
   "in_reply_to_user_id_str": "77123"
  }
 },
 {
  "tweet": {
   "id_str": "1862000000000000001",
   "id": "1862000000000000001",
   "full_text": "Minus nine hundred lorries in the queue this morning, says the dashboard. Somebody subtracted a null & called it a day. https://t.co/qtide1",
   "created_at": "Wed Nov 27 08:05:00 +0000 2024",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "urls": [
     {
      "url": "https://t.co/qtide1",
      "expanded_url": "http://127.0.0.1:8899/keep-a-ships-log.html"
     }
    ]
   }
  }
 },
 {
  "tweet": {
   "id_str": "1830000000000000001",
   "id": "1830000000000000001",
   "full_text": "RT @harbour_notices: Fog signal tests on Thursday, 09:00 to 11:00.",
   "created_at": "Sat Aug 31 09:00:00 +0000 2024",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   }
  }
 },
 {
  "tweet": {
   "id_str": "1801000000000000003",
   "id": "1801000000000000003",
   "full_text": "Two: it says when, never whether you should. Three: the heights are for calm weather; add the wind yourself. So: publish the window, and leave the go or no-go to whoever is at the wheel.",
   "created_at": "Wed Jun 12 06:33:00 +0000 2024",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   },
   "in_reply_to_status_id_str": "1801000000000000002",
   "in_reply_to_user_id_str": "990001"
  }
 },
 {
  "tweet": {
   "id_str": "1801000000000000002",
   "id": "1801000000000000002",
   "full_text": "One. It is printed a year ahead &amp; nobody argues with it. A schedule that can be argued with on the day is a mood.",
   "created_at": "Wed Jun 12 06:31:00 +0000 2024",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   },
   "in_reply_to_status_id_str": "1801000000000000001",
   "in_reply_to_user_id_str": "990001"
  }
 },
 {
  "tweet": {
   "id_str": "1801000000000000001",
   "id": "1801000000000000001",
   "full_text": "Low water at 05:12, first deploy at 10:00. The sea keeps its calendar better than we do. Three things the tide table taught me about schedules:",
   "created_at": "Wed Jun 12 06:30:00 +0000 2024",
   "lang": "en",
   "favorite_count": "3",
   "retweet_count": "0",
   "entities": {
    "hashtags": [],
    "urls": []
   }
  }
 }
]
