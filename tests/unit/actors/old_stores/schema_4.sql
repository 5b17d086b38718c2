BEGIN TRANSACTION;
CREATE TABLE api_keys (
	key_id VARCHAR(32) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (key_id)
);
CREATE TABLE audit (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	entry_id VARCHAR(64) NOT NULL, 
	at FLOAT NOT NULL, 
	key_id VARCHAR(32) NOT NULL, 
	key_name VARCHAR(255) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	subject TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	UNIQUE (entry_id)
);
CREATE TABLE devices (
	device_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(8) NOT NULL, 
	node_name VARCHAR(255) NOT NULL, 
	node_id VARCHAR(128) NOT NULL, 
	device_index INTEGER NOT NULL, 
	PRIMARY KEY (device_id)
);
INSERT INTO "devices" VALUES('cuda:0','cuda','host','node',0);
CREATE TABLE leases (
	lease_id VARCHAR(64) NOT NULL, 
	session VARCHAR(128) NOT NULL, 
	is_ending INTEGER NOT NULL, 
	holder TEXT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (lease_id)
);
INSERT INTO "leases" VALUES('lease-7','session',0,'[{"node_id": "node", "presence": {"pid": 12, "created": 34.5, "group": 0, "session": 0}}]','{"lease_id":"lease-7","token":7,"request":{"request_id":"runs.1","task_id":"runs","work":"training","selector":"cuda:0","priority":5,"submitted_at":2.0,"memory_bytes":null,"device_count":1,"preemptible":false,"holder":"attempt","profile":"resnet18"},"portions":[{"device_id":"cuda:0","units":1500,"memory_bytes":2147483648}],"granted_at":2.0}');
CREATE TABLE limits (
	device_id VARCHAR(32) NOT NULL, 
	work VARCHAR(32) NOT NULL, 
	most INTEGER NOT NULL, 
	PRIMARY KEY (device_id, work)
);
INSERT INTO "limits" VALUES('cuda:0','training',2);
CREATE TABLE memory_peaks (
	model VARCHAR(64) NOT NULL, 
	batch_size INTEGER NOT NULL, 
	image_size INTEGER NOT NULL, 
	mixed_precision INTEGER NOT NULL, 
	peak_bytes BIGINT NOT NULL, 
	PRIMARY KEY (model, batch_size, image_size, mixed_precision)
);
INSERT INTO "memory_peaks" VALUES('vit_b_16',8,224,1,5368709120);
CREATE TABLE meta (
	name VARCHAR(255) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema_version','4');
INSERT INTO "meta" VALUES('last_token','7');
CREATE TABLE model_aliases (
	name VARCHAR(64) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (name, alias)
);
CREATE TABLE model_versions (
	name VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (name, version)
);
CREATE TABLE models (
	name VARCHAR(64) NOT NULL, 
	last_version INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE tasks (
	task_id VARCHAR(128) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	submitted_at FLOAT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (task_id)
);
INSERT INTO "tasks" VALUES('done','completed',1.0,'{"submission":{"task_id":"done","work":"training","task_type":"training","request":{"model":"resnet18","num_epochs":6},"device":"cuda:0","priority":5,"memory_bytes":null,"device_count":1,"preemptible":false,"max_retries":2,"output_path":"out/done","batch_id":"","resolved":{"output":"/data/out/done"},"ignored_fields":[],"batch_index":0},"state":"completed","submitted_at":1.0,"updated_at":7.0,"attempts":1,"attempt_id":"done.1","lease":null,"device_id":"cuda:0","ending":null,"progress":{"percent":100,"message":"training completed","epoch":3,"total_epochs":6,"metrics":{"val_acc":91.25},"stats":null},"fault":null,"started_at":5.0,"finished_at":7.0,"batch_size_override":null,"batch_reductions":0,"queue_position":null,"history":[{"at":1.0,"before":null,"after":"pending","cause":"submitted"},{"at":5.0,"before":"pending","after":"running","cause":"attempt 1 got cuda:0"},{"at":7.0,"before":"running","after":"completed","cause":"training completed"}],"is_pausing":false,"preemptions":0,"new_priority":null}');
INSERT INTO "tasks" VALUES('runs','running',2.0,'{"submission":{"task_id":"runs","work":"training","task_type":"training","request":{"model":"resnet18","num_epochs":6},"device":"cuda:0","priority":5,"memory_bytes":null,"device_count":1,"preemptible":false,"max_retries":2,"output_path":"out/runs","batch_id":"","resolved":{"output":"/data/out/runs"},"ignored_fields":[],"batch_index":0},"state":"running","submitted_at":2.0,"updated_at":9.0,"attempts":1,"attempt_id":"runs.1","lease":{"lease_id":"lease-7","token":7,"device_id":"cuda:0","units":1500,"memory_bytes":2147483648,"granted_at":2.0},"device_id":"cuda:0","ending":null,"progress":{"percent":33,"message":"a third","epoch":2,"total_epochs":6,"metrics":{"val_acc":80.5},"stats":null},"fault":null,"started_at":8.0,"finished_at":null,"batch_size_override":null,"batch_reductions":0,"queue_position":null,"history":[{"at":2.0,"before":null,"after":"pending","cause":"submitted"},{"at":8.0,"before":"pending","after":"running","cause":"attempt 1 got cuda:0"}],"is_pausing":false,"preemptions":0,"new_priority":null}');
INSERT INTO "tasks" VALUES('waits','queued',3.0,'{"submission":{"task_id":"waits","work":"training","task_type":"training","request":{"model":"resnet18","num_epochs":6},"device":"cuda:0","priority":5,"memory_bytes":null,"device_count":1,"preemptible":false,"max_retries":2,"output_path":"out/waits","batch_id":"","resolved":{"output":"/data/out/waits"},"ignored_fields":[],"batch_index":0},"state":"queued","submitted_at":3.0,"updated_at":9.5,"attempts":1,"attempt_id":"waits.1","lease":null,"device_id":"","ending":null,"progress":{"percent":0,"message":"waiting for a device (limit)","epoch":null,"total_epochs":null,"metrics":null,"stats":null},"fault":null,"started_at":null,"finished_at":null,"batch_size_override":null,"batch_reductions":0,"queue_position":null,"history":[{"at":3.0,"before":null,"after":"pending","cause":"submitted"},{"at":9.5,"before":"pending","after":"queued","cause":"waiting for a device (limit)"}],"is_pausing":false,"preemptions":0,"new_priority":null}');
CREATE TABLE versions (
	name VARCHAR(64) NOT NULL, 
	value INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
CREATE INDEX ix_tasks_state ON tasks (state);
DELETE FROM "sqlite_sequence";
COMMIT;
