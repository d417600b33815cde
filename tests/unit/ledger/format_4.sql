BEGIN TRANSACTION;
CREATE TABLE activations (
  destination   TEXT NOT NULL,
  name          TEXT NOT NULL,
  epoch         INTEGER NOT NULL REFERENCES epochs (number),  -- the last one that it stood for
  at_s          REAL NOT NULL,                                -- since when it stood for that one
  replaced_at_s REAL,  -- when the destination switched to another name; NULL while this one is active
  PRIMARY KEY (destination, name)
) STRICT;
CREATE TABLE changes (
  epoch         INTEGER NOT NULL REFERENCES epochs (number),
  n             INTEGER NOT NULL,
  subject       TEXT NOT NULL,
  relation      TEXT NOT NULL,
  tenant        TEXT NOT NULL,
  subject_name  TEXT NOT NULL,
  relation_name TEXT NOT NULL,
  correction_id TEXT NOT NULL,  -- '' where no correction asked for it, as with an expiry
  reported_at_s REAL,           -- when the source said so; NULL: it did not say when
  fact_id       TEXT,
  version       INTEGER,
  placement     TEXT,
  fact          TEXT,           -- JSON
  PRIMARY KEY (epoch, n)
) STRICT;
INSERT INTO "changes" VALUES(1,0,'Stelco','P159','acme','stelco','p159','a',NULL,'e797086dd62305e5',1,'memory','{"correction_id": "a", "key": ["Stelco", "P159", "acme"], "method": "", "placement": "memory", "reported_at_s": null, "subject_at": [[20, 26]], "target": "Hamilton", "valid_until_s": null, "version": 1, "wordings": ["The headquarters of Stelco are in"]}');
INSERT INTO "changes" VALUES(1,1,'Stelco','P159','default','stelco','p159','b',NULL,'1a2b229bfc811429',1,'memory','{"correction_id": "b", "key": ["Stelco", "P159", "default"], "method": "", "placement": "memory", "reported_at_s": null, "subject_at": [[20, 26]], "target": "Lima", "valid_until_s": null, "version": 1, "wordings": ["The headquarters of Stelco are in"]}');
INSERT INTO "changes" VALUES(1,2,'Stelco','P159','acme','stelco','p159','c',NULL,'a3e37f51e8f3aa43',2,'memory','{"correction_id": "c", "key": ["Stelco", "P159", "acme"], "method": "", "placement": "memory", "reported_at_s": null, "subject_at": [[20, 26]], "target": "Rome", "valid_until_s": null, "version": 2, "wordings": ["The headquarters of Stelco are in"]}');
INSERT INTO "changes" VALUES(1,3,'Velmora','The capital of {} is','acme','velmora','the capital of { } is','fb2e09f4d33599cfc119cb5cbebe9bb6',NULL,'58742c43114d1727',1,'memory','{"correction_id": "fb2e09f4d33599cfc119cb5cbebe9bb6", "key": ["Velmora", "The capital of {} is", "acme"], "method": "", "placement": "memory", "reported_at_s": null, "subject_at": [[15, 22]], "target": "Quito", "valid_until_s": null, "version": 1, "wordings": ["The capital of Velmora is"]}');
CREATE TABLE decisions (
  event_seq     INTEGER PRIMARY KEY REFERENCES events (seq),
  inbox_seq     INTEGER NOT NULL REFERENCES inbox (seq),
  source        TEXT NOT NULL,
  at_s          REAL NOT NULL,
  fate          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  correction_id TEXT,
  route         TEXT NOT NULL,  -- '' where the policy was not asked
  rule          TEXT NOT NULL,
  method        TEXT NOT NULL,
  policy_sha256 TEXT NOT NULL,
  body          TEXT            -- the whole decision with its trace, JSON
) STRICT;
INSERT INTO "decisions" VALUES(8,1,'submit',1.79582120508469891546e+09,'accepted','under this policy the weights are never edited','a','memory','default','','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','{"method": "", "policy_sha256": "50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37", "reason": "under this policy the weights are never edited", "route": "memory", "rule": "default", "trace": [{"because": "source ''unknown'' is not untrusted*", "matched": false, "rule": "untrusted-source"}, {"because": "`confidence < 0.4` is false", "matched": false, "rule": "very-low-confidence"}, {"because": "no condition", "matched": true, "rule": "default"}]}');
INSERT INTO "decisions" VALUES(9,2,'submit',1.79582120508469891546e+09,'accepted','under this policy the weights are never edited','b','memory','default','','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','{"method": "", "policy_sha256": "50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37", "reason": "under this policy the weights are never edited", "route": "memory", "rule": "default", "trace": [{"because": "source ''unknown'' is not untrusted*", "matched": false, "rule": "untrusted-source"}, {"because": "`confidence < 0.4` is false", "matched": false, "rule": "very-low-confidence"}, {"because": "no condition", "matched": true, "rule": "default"}]}');
INSERT INTO "decisions" VALUES(10,3,'submit',1.79582120508469891546e+09,'accepted','under this policy the weights are never edited','c','memory','default','','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','{"method": "", "policy_sha256": "50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37", "reason": "under this policy the weights are never edited", "route": "memory", "rule": "default", "trace": [{"because": "source ''unknown'' is not untrusted*", "matched": false, "rule": "untrusted-source"}, {"because": "`confidence < 0.4` is false", "matched": false, "rule": "very-low-confidence"}, {"because": "no condition", "matched": true, "rule": "default"}]}');
INSERT INTO "decisions" VALUES(11,4,'submit',1.79582120508469891546e+09,'accepted','under this policy the weights are never edited','fb2e09f4d33599cfc119cb5cbebe9bb6','memory','default','','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','{"method": "", "policy_sha256": "50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37", "reason": "under this policy the weights are never edited", "route": "memory", "rule": "default", "trace": [{"because": "source ''unknown'' is not untrusted*", "matched": false, "rule": "untrusted-source"}, {"because": "`confidence < 0.4` is false", "matched": false, "rule": "very-low-confidence"}, {"because": "no condition", "matched": true, "rule": "default"}]}');
CREATE TABLE edit_cache (
  event_seq   INTEGER NOT NULL REFERENCES events (seq),
  n           INTEGER NOT NULL,
  content_key TEXT NOT NULL,
  group_key   TEXT NOT NULL,
  digest      TEXT NOT NULL,
  facts       TEXT NOT NULL,
  PRIMARY KEY (event_seq, n),
  FOREIGN KEY (digest, facts) REFERENCES edits (digest, facts)
) STRICT;
CREATE TABLE edits (
  digest      TEXT NOT NULL,
  facts       TEXT NOT NULL,  -- JSON list of fact ids
  subject     TEXT NOT NULL,
  method      TEXT NOT NULL,
  diagnostics TEXT NOT NULL,  -- JSON
  PRIMARY KEY (digest, facts)
) STRICT;
CREATE TABLE epoch_edits (
  epoch  INTEGER NOT NULL REFERENCES epochs (number),
  digest TEXT NOT NULL,
  facts  TEXT,
  PRIMARY KEY (epoch, digest),
  FOREIGN KEY (digest, facts) REFERENCES edits (digest, facts)
) STRICT;
CREATE TABLE epochs (
  number         INTEGER PRIMARY KEY,
  kind           TEXT NOT NULL,
  reason         TEXT NOT NULL,
  base_sha256    TEXT NOT NULL,
  policy_sha256  TEXT NOT NULL,
  weights_sha256 TEXT NOT NULL,
  state_sha256   TEXT NOT NULL,
  created_at_s   REAL NOT NULL
) STRICT;
INSERT INTO "epochs" VALUES(0,'base','','8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d','99cfad8603d661c8bf2d904c4b0f613259352524ca68253da74501c688685764',1.79582120491991662977e+09);
INSERT INTO "epochs" VALUES(1,'remember','4 corrections','8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d','50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37','8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d','31d79732c48fcc292498f4e3d0bc0836f95507e1a099c8ccb469b3a71fc87597',1.79582120508486223217e+09);
CREATE TABLE events (
  seq       INTEGER PRIMARY KEY,
  at_s      REAL NOT NULL,
  kind      TEXT NOT NULL,
  body      TEXT NOT NULL,  -- JSON
  prev_hash TEXT NOT NULL,  -- hash of event seq - 1, '' for the first
  hash      TEXT NOT NULL   -- sha256 over prev_hash and this row
) STRICT;
INSERT INTO "events" VALUES(1,1.79582118979099416731e+09,'received','{"position":"old.jsonl:1#c058cc74c8950297","raw_sha256":"608421cce7a7d7b9d1896734734998900e0833429b780aa3a83c6cb25361f9fb","seq":1,"source":"submit"}','','6b3cfa9666ecf8cf8e06d255b4d855b6e940506c3637925bea70e5f1e03743e3');
INSERT INTO "events" VALUES(2,1.79582118979099416731e+09,'received','{"position":"old.jsonl:2#a66852ced7168b10","raw_sha256":"5d34756fc536a7acdba41b9d1bf9076c1a272ff159c2d2ebf1e1cee8310ed625","seq":2,"source":"submit"}','6b3cfa9666ecf8cf8e06d255b4d855b6e940506c3637925bea70e5f1e03743e3','1452e23210795afdbdd5fa4feec55b72174d31fb04619ea9ca9a866d1a1db978');
INSERT INTO "events" VALUES(3,1.79582118979099416731e+09,'received','{"position":"old.jsonl:3#611f2c665eda452f","raw_sha256":"6ecc66a29f38fe524aeb51823cb00d016ce3d4418d725273b743b50322dc1113","seq":3,"source":"submit"}','1452e23210795afdbdd5fa4feec55b72174d31fb04619ea9ca9a866d1a1db978','e1ffdc69e74b5e2b7965939587a8febfea10a162f0405987bbd8312e7e6f2a23');
INSERT INTO "events" VALUES(4,1.79582118979099416731e+09,'received','{"position":"old.jsonl:4#4f188e047c13a069","raw_sha256":"d09cb9902e76f93d0f5d4bed7dda2dc922aa508ebe5e5ebe2c47335353478119","seq":4,"source":"submit"}','e1ffdc69e74b5e2b7965939587a8febfea10a162f0405987bbd8312e7e6f2a23','3b5f379a37de66b3f7337fa361bb14c826def34e1ddf8b69602419f202fc0482');
INSERT INTO "events" VALUES(5,1.79582120491991662977e+09,'epoch','{"base_sha256":"8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d","changes":[],"edits_added":[],"edits_removed":[],"kind":"base","number":0,"policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"","refs":{"last-good":0,"serving":0},"state_sha256":"99cfad8603d661c8bf2d904c4b0f613259352524ca68253da74501c688685764","verdict":null,"weights_sha256":"8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d"}','3b5f379a37de66b3f7337fa361bb14c826def34e1ddf8b69602419f202fc0482','3c7fe8bade78493768c3cd8b6e13065f7191cf4422404ca62c4cac44d035639e');
INSERT INTO "events" VALUES(6,1.79582120497688412668e+09,'base','{"parts":{"background":"9468294769ada3bc26dc2e04dd338b348f735cf6bda2fb723cdbac0419b59e83","config":"e11ab851c4bddb4bf4567ca3587b36a2bcf7a509984cfea3213dfa939185e43a","edit_card":"b4803c3e812163979a52e8b41cd50124db7371f05fe1043caf19943345e7680d","edit_card/home":"absent","encoder/1_Pooling/config.json":"4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23","encoder/config.json":"953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41","encoder/config_sentence_transformers.json":"061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3","encoder/data_config.json":"32edcb108fc2516b920734a862ae0692bcae1c5d45d5f8d972cb0d53434a4c54","encoder/modules.json":"84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf","encoder/sentence_bert_config.json":"fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7","encoder/special_tokens_map.json":"303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3","encoder/tokenizer.json":"be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037","encoder/tokenizer_config.json":"acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b","encoder/vocab.txt":"07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3","generation_config":"8e7d81a4ad69b0bd3a2c35f56e8d2231218f9adae555f3b68ca17983e0f2b5ef","moments/moments-500e4457331f4b1f-layer2.safetensors":"0a1812b1cda014a4f93bb83bf8a4169140621a3de99670128efe69038d2e6389","moments/moments-500e4457331f4b1f-layer3.safetensors":"4ab8e3ac9393fd246fb850311ed725e7328296a782d9ca0b038db6d2e1f7411c","moments/moments-500e4457331f4b1f-layer4.safetensors":"bf12a21b374f30d94b8de67149215291af6ded395134b614aae45eb65b755275","probes":"b376225cef2dabcbb0f30fb34db04ff96bac33d49dd3698b215d70d257712cac","tokenizer/tokenizer.json":"0d985c357d4b0b381735341a584c8b75b7f5221251b2864b67f9af416daef6d6","tokenizer/tokenizer_config.json":"de578ae5e85861e5081eeb2b7eb94fa3f81b5db1d1d0d463bc330acca51de4dc","weights/model.safetensors":"3d0fbb143a419a224ba3ca82162b5b3f4459bd975cb00ba811188fc06da8e152"}}','3c7fe8bade78493768c3cd8b6e13065f7191cf4422404ca62c4cac44d035639e','043fb4e55185d209a71063f495edddda13bd8d3b74cf864875e2d7b2245374b7');
INSERT INTO "events" VALUES(7,1.79582120508486223217e+09,'epoch','{"base_sha256":"8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d","changes":[{"correction_id":"a","fact":{"correction_id":"a","key":["Stelco","P159","acme"],"method":"","placement":"memory","reported_at_s":null,"subject_at":[[20,26]],"target":"Hamilton","valid_until_s":null,"version":1,"wordings":["The headquarters of Stelco are in"]},"fact_id":"e797086dd62305e5","key":["Stelco","P159","acme"],"names":["stelco","p159"],"reported_at_s":null},{"correction_id":"b","fact":{"correction_id":"b","key":["Stelco","P159","default"],"method":"","placement":"memory","reported_at_s":null,"subject_at":[[20,26]],"target":"Lima","valid_until_s":null,"version":1,"wordings":["The headquarters of Stelco are in"]},"fact_id":"1a2b229bfc811429","key":["Stelco","P159","default"],"names":["stelco","p159"],"reported_at_s":null},{"correction_id":"c","fact":{"correction_id":"c","key":["Stelco","P159","acme"],"method":"","placement":"memory","reported_at_s":null,"subject_at":[[20,26]],"target":"Rome","valid_until_s":null,"version":2,"wordings":["The headquarters of Stelco are in"]},"fact_id":"a3e37f51e8f3aa43","key":["Stelco","P159","acme"],"names":["stelco","p159"],"reported_at_s":null},{"correction_id":"fb2e09f4d33599cfc119cb5cbebe9bb6","fact":{"correction_id":"fb2e09f4d33599cfc119cb5cbebe9bb6","key":["Velmora","The capital of {} is","acme"],"method":"","placement":"memory","reported_at_s":null,"subject_at":[[15,22]],"target":"Quito","valid_until_s":null,"version":1,"wordings":["The capital of Velmora is"]},"fact_id":"58742c43114d1727","key":["Velmora","The capital of {} is","acme"],"names":["velmora","the capital of { } is"],"reported_at_s":null}],"edits_added":[],"edits_removed":[],"kind":"remember","number":1,"policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"4 corrections","refs":{"last-good":1,"serving":1},"state_sha256":"31d79732c48fcc292498f4e3d0bc0836f95507e1a099c8ccb469b3a71fc87597","verdict":null,"weights_sha256":"8859642023a0046b2813ed8756171c05f8ffb5daf0bb58a4807e58579598729d"}','043fb4e55185d209a71063f495edddda13bd8d3b74cf864875e2d7b2245374b7','950e77db6fda1fad3a744c5910813c5b67b7a82a5ef362e5ed6411b8722966b6');
INSERT INTO "events" VALUES(8,1.79582120508469891546e+09,'settled','{"content_sha256":"d9375901aa9fc3682271f8304f50b997b42e3d5e083bf89c033363524d4e18d9","correction_id":"a","decision":{"method":"","policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"under this policy the weights are never edited","route":"memory","rule":"default","trace":[{"because":"source ''unknown'' is not untrusted*","matched":false,"rule":"untrusted-source"},{"because":"`confidence < 0.4` is false","matched":false,"rule":"very-low-confidence"},{"because":"no condition","matched":true,"rule":"default"}]},"epoch":1,"fate":"accepted","reach":["stelco"],"reason":"under this policy the weights are never edited","seq":1}','950e77db6fda1fad3a744c5910813c5b67b7a82a5ef362e5ed6411b8722966b6','0923a5762df36e87db14767af93c97e1cf61010d355ee6b25be6fe41e0e3a8a8');
INSERT INTO "events" VALUES(9,1.79582120508469891546e+09,'settled','{"content_sha256":"c9a740694be91b039a36d2b8edb9ac111756589a2d91caf8387ae88b86a43a8b","correction_id":"b","decision":{"method":"","policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"under this policy the weights are never edited","route":"memory","rule":"default","trace":[{"because":"source ''unknown'' is not untrusted*","matched":false,"rule":"untrusted-source"},{"because":"`confidence < 0.4` is false","matched":false,"rule":"very-low-confidence"},{"because":"no condition","matched":true,"rule":"default"}]},"epoch":1,"fate":"accepted","reach":["stelco"],"reason":"under this policy the weights are never edited","seq":2}','0923a5762df36e87db14767af93c97e1cf61010d355ee6b25be6fe41e0e3a8a8','d4df6f2baf1e2ba53ba70715c0161b3b2ccaab7d418a1cd0e539219e48ecbef0');
INSERT INTO "events" VALUES(10,1.79582120508469891546e+09,'settled','{"content_sha256":"f4b30951adc1d0254348dbb47ce26f05edab0fe526f3bdd757989485fbe39c2f","correction_id":"c","decision":{"method":"","policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"under this policy the weights are never edited","route":"memory","rule":"default","trace":[{"because":"source ''unknown'' is not untrusted*","matched":false,"rule":"untrusted-source"},{"because":"`confidence < 0.4` is false","matched":false,"rule":"very-low-confidence"},{"because":"no condition","matched":true,"rule":"default"}]},"epoch":1,"fate":"accepted","reach":["stelco"],"reason":"under this policy the weights are never edited","seq":3}','d4df6f2baf1e2ba53ba70715c0161b3b2ccaab7d418a1cd0e539219e48ecbef0','5318283adc5f854c70768b8cd3ac4c784c981c2b9541944f268d267dc577412c');
INSERT INTO "events" VALUES(11,1.79582120508469891546e+09,'settled','{"content_sha256":"fb2e09f4d33599cfc119cb5cbebe9bb66e395211ecc3b4099cf29fe5e0605db5","correction_id":"fb2e09f4d33599cfc119cb5cbebe9bb6","decision":{"method":"","policy_sha256":"50f438b26d5ed3df1511d505073b4ec4c62d1788a938559995015a0639591b37","reason":"under this policy the weights are never edited","route":"memory","rule":"default","trace":[{"because":"source ''unknown'' is not untrusted*","matched":false,"rule":"untrusted-source"},{"because":"`confidence < 0.4` is false","matched":false,"rule":"very-low-confidence"},{"because":"no condition","matched":true,"rule":"default"}]},"epoch":1,"fate":"accepted","reach":["velmora"],"reason":"under this policy the weights are never edited","seq":4}','5318283adc5f854c70768b8cd3ac4c784c981c2b9541944f268d267dc577412c','bf5274d7b0260c4259a67e606acd762c505cb8dec3f5ebbed23ee348b6211345');
CREATE TABLE gates (
  event_seq  INTEGER NOT NULL REFERENCES verdicts (event_seq),
  n          INTEGER NOT NULL,
  gate       TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  value      REAL,  -- NULL: undefined
  gate_limit REAL,
  PRIMARY KEY (event_seq, n)
) STRICT;
CREATE TABLE inbox (
  seq            INTEGER PRIMARY KEY,
  source         TEXT NOT NULL,
  position       TEXT NOT NULL,
  raw_sha256     TEXT NOT NULL REFERENCES messages (sha256),
  received_at_s  REAL NOT NULL,
  fate           TEXT NOT NULL DEFAULT 'received',
  reason         TEXT NOT NULL DEFAULT '',
  correction_id  TEXT,
  content_sha256 TEXT,
  settled_at_s   REAL,
  epoch          INTEGER REFERENCES epochs (number),
  released       INTEGER NOT NULL DEFAULT 0,
  dropped        INTEGER NOT NULL DEFAULT 0,
  -- The digest belongs to the key: a file that was edited and sent again is not a redelivery.
  UNIQUE (source, position, raw_sha256)
) STRICT;
INSERT INTO "inbox" VALUES(1,'submit','old.jsonl:1#c058cc74c8950297','608421cce7a7d7b9d1896734734998900e0833429b780aa3a83c6cb25361f9fb',1.79582118979099416731e+09,'accepted','under this policy the weights are never edited','a','d9375901aa9fc3682271f8304f50b997b42e3d5e083bf89c033363524d4e18d9',1.79582120508469891546e+09,1,0,0);
INSERT INTO "inbox" VALUES(2,'submit','old.jsonl:2#a66852ced7168b10','5d34756fc536a7acdba41b9d1bf9076c1a272ff159c2d2ebf1e1cee8310ed625',1.79582118979099416731e+09,'accepted','under this policy the weights are never edited','b','c9a740694be91b039a36d2b8edb9ac111756589a2d91caf8387ae88b86a43a8b',1.79582120508469891546e+09,1,0,0);
INSERT INTO "inbox" VALUES(3,'submit','old.jsonl:3#611f2c665eda452f','6ecc66a29f38fe524aeb51823cb00d016ce3d4418d725273b743b50322dc1113',1.79582118979099416731e+09,'accepted','under this policy the weights are never edited','c','f4b30951adc1d0254348dbb47ce26f05edab0fe526f3bdd757989485fbe39c2f',1.79582120508469891546e+09,1,0,0);
INSERT INTO "inbox" VALUES(4,'submit','old.jsonl:4#4f188e047c13a069','d09cb9902e76f93d0f5d4bed7dda2dc922aa508ebe5e5ebe2c47335353478119',1.79582118979099416731e+09,'accepted','under this policy the weights are never edited','fb2e09f4d33599cfc119cb5cbebe9bb6','fb2e09f4d33599cfc119cb5cbebe9bb66e395211ecc3b4099cf29fe5e0605db5',1.79582120508469891546e+09,1,0,0);
CREATE TABLE messages (
  sha256 TEXT PRIMARY KEY,
  raw    BLOB NOT NULL
) STRICT;
INSERT INTO "messages" VALUES('608421cce7a7d7b9d1896734734998900e0833429b780aa3a83c6cb25361f9fb',X'7B226964223A202261222C20227375626A656374223A20225374656C636F222C202272656C6174696F6E223A202250313539222C202270726F6D7074223A202254686520686561647175617274657273206F66207B7D2061726520696E222C20227461726765745F6E6577223A202248616D696C746F6E222C202273636F7065223A202261636D65227D');
INSERT INTO "messages" VALUES('5d34756fc536a7acdba41b9d1bf9076c1a272ff159c2d2ebf1e1cee8310ed625',X'7B226964223A202262222C20227375626A656374223A20225374656C636F222C202272656C6174696F6E223A202250313539222C202270726F6D7074223A202254686520686561647175617274657273206F66207B7D2061726520696E222C20227461726765745F6E6577223A20224C696D61227D');
INSERT INTO "messages" VALUES('6ecc66a29f38fe524aeb51823cb00d016ce3d4418d725273b743b50322dc1113',X'7B226964223A202263222C20227375626A656374223A20225374656C636F222C202272656C6174696F6E223A202250313539222C202270726F6D7074223A202254686520686561647175617274657273206F66207B7D2061726520696E222C20227461726765745F6E6577223A2022526F6D65222C202273636F7065223A202261636D65227D');
INSERT INTO "messages" VALUES('d09cb9902e76f93d0f5d4bed7dda2dc922aa508ebe5e5ebe2c47335353478119',X'7B227375626A656374223A202256656C6D6F7261222C202270726F6D7074223A2022546865206361706974616C206F66207B7D206973222C20227461726765745F6E6577223A2022517569746F222C202273636F7065223A202261636D65227D');
CREATE TABLE publications (
  destination  TEXT NOT NULL,
  replica      TEXT NOT NULL,
  name         TEXT NOT NULL,
  epoch        INTEGER NOT NULL REFERENCES epochs (number),  -- the one that it was made for
  phase        TEXT NOT NULL,                                -- preparing, prepared or confirmed
  changed_at_s REAL NOT NULL,
  PRIMARY KEY (destination, replica, name)
) STRICT;
CREATE TABLE publish_problems (
  destination TEXT NOT NULL,
  replica     TEXT NOT NULL,
  problem     TEXT NOT NULL,
  since_s     REAL NOT NULL,
  PRIMARY KEY (destination, replica)
) STRICT;
CREATE TABLE reach (
  event_seq INTEGER NOT NULL REFERENCES decisions (event_seq),
  name      TEXT NOT NULL,
  PRIMARY KEY (event_seq, name)
) STRICT;
INSERT INTO "reach" VALUES(8,'stelco');
INSERT INTO "reach" VALUES(9,'stelco');
INSERT INTO "reach" VALUES(10,'stelco');
INSERT INTO "reach" VALUES(11,'velmora');
CREATE TABLE refs (
  name  TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL REFERENCES epochs (number)
) STRICT;
INSERT INTO "refs" VALUES('last-good',1);
INSERT INTO "refs" VALUES('serving',1);
CREATE TABLE rollbacks (
  epoch   INTEGER PRIMARY KEY REFERENCES epochs (number),
  trigger TEXT NOT NULL
) STRICT;
CREATE TABLE verdicts (
  event_seq INTEGER PRIMARY KEY REFERENCES events (seq),
  epoch     INTEGER REFERENCES epochs (number),  -- NULL: a trial that became no epoch
  outcome   TEXT NOT NULL,
  body      TEXT NOT NULL  -- JSON
) STRICT;
CREATE INDEX events_by_kind ON events (kind, seq);
CREATE TRIGGER events_append BEFORE INSERT ON events
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)
  OR NEW.prev_hash <> coalesce((SELECT hash FROM events ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'events is append-only: the row does not follow the last one'); END;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events is append-only: no UPDATE'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events is append-only: no DELETE'); END;
CREATE TRIGGER messages_no_update BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'messages is append-only: no UPDATE'); END;
CREATE TRIGGER messages_no_delete BEFORE DELETE ON messages
BEGIN SELECT RAISE(ABORT, 'messages is append-only: no DELETE'); END;
CREATE INDEX inbox_by_fate ON inbox (fate, seq);
CREATE INDEX inbox_by_id ON inbox (correction_id);
CREATE UNIQUE INDEX inbox_one_decided_row_an_id ON inbox (correction_id)
  WHERE fate IN ('accepted', 'unchanged', 'held', 'rejected', 'superseded');
CREATE INDEX decisions_by_inbox ON decisions (inbox_seq);
CREATE INDEX decisions_by_correction ON decisions (correction_id);
CREATE INDEX decisions_by_label ON decisions (source, route, fate);
CREATE UNIQUE INDEX decisions_accept_an_id_once ON decisions (correction_id)
  WHERE fate = 'accepted';
CREATE INDEX reach_by_name ON reach (name, event_seq);
CREATE INDEX epoch_edits_by_digest ON epoch_edits (digest, epoch);
CREATE INDEX edit_cache_by_content ON edit_cache (content_key, event_seq, n);
CREATE INDEX edit_cache_by_group ON edit_cache (group_key);
CREATE INDEX verdicts_by_epoch ON verdicts (epoch);
CREATE INDEX gates_by_label ON gates (gate, outcome);
CREATE INDEX changes_by_key ON changes (subject, relation, tenant, epoch, n);
CREATE INDEX changes_by_name ON changes (subject_name, relation_name, tenant, epoch, n);
CREATE INDEX changes_by_fact ON changes (fact_id);
CREATE INDEX changes_by_correction ON changes (correction_id);
CREATE VIEW live_facts AS
SELECT * FROM changes c
WHERE fact IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM changes later
  WHERE (later.subject, later.relation, later.tenant) = (c.subject, c.relation, c.tenant)
    AND (later.epoch, later.n) > (c.epoch, c.n)
);
PRAGMA user_version = 4;
COMMIT;

