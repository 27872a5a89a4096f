-- A database of schema 0006, as growlab wrote it (sqlite3's .dump).
-- Trial 0 is completed, 1 diverged, 2 runs after a crash and a promotion at its first rung, 3 and 4 wait; a study with
-- one trial was deleted.
BEGIN TRANSACTION;
CREATE TABLE gl_artifacts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	trial_id INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	kind TEXT NOT NULL,
	step BIGINT NOT NULL,
	path TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	n_bytes BIGINT NOT NULL,
	CONSTRAINT fk_gl_artifacts_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE,
	CONSTRAINT uq_gl_artifacts_trial_id_kind_step_path UNIQUE (trial_id, kind, step, path)
);
INSERT INTO "gl_artifacts" VALUES(2,1,1,'model',200,'t/model.safetensors','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',4096);
INSERT INTO "gl_artifacts" VALUES(3,3,1,'checkpoint',50,'trial/step-50','abababababababababababababababababababababababababababababababab',1099511627776);
CREATE TABLE "gl_attempts" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	trial_id INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	worker_id INTEGER NOT NULL,
	started_at DOUBLE NOT NULL,
	heartbeat_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	end_reason TEXT,
	note TEXT NOT NULL, step BIGINT DEFAULT '0' NOT NULL,
	CONSTRAINT ck_gl_attempts_end_reason CHECK (end_reason IN ('finished', 'paused', 'stopped', 'crashed', 'lost')),
	CONSTRAINT fk_gl_attempts_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE,
	CONSTRAINT fk_gl_attempts_worker_id FOREIGN KEY(worker_id) REFERENCES gl_workers (id),
	CONSTRAINT uq_gl_attempts_trial_id_epoch UNIQUE (trial_id, epoch)
);
INSERT INTO "gl_attempts" VALUES(1,1,1,1,1.79554486872898936278e+09,1.79554486876101493829e+09,1.79554486876198053364e+09,'finished','',0);
INSERT INTO "gl_attempts" VALUES(2,2,1,1,1.79554486877698755258e+09,1.79554486878398799894e+09,1.79554486878499388689e+09,'finished','',0);
INSERT INTO "gl_attempts" VALUES(3,3,1,1,1.79554486878901720051e+09,1.79554486880100679395e+09,1.79554486880100679395e+09,'crashed','out of luck',0);
INSERT INTO "gl_attempts" VALUES(4,3,2,1,1.79554486881299614911e+09,1.79554486881299614911e+09,NULL,NULL,'',50);
CREATE TABLE gl_decisions (
	trial_id INTEGER NOT NULL,
	seed BIGINT NOT NULL,
	origin TEXT NOT NULL,
	parent INTEGER,
	mutation TEXT NOT NULL,
	finished JSON NOT NULL,
	running JSON NOT NULL, predicted_mean DOUBLE, predicted_sd DOUBLE, predicted_runs DOUBLE, revision INTEGER DEFAULT '0' NOT NULL, climbs JSON DEFAULT '[]' NOT NULL,
	CONSTRAINT pk_gl_decisions PRIMARY KEY (trial_id),
	CONSTRAINT fk_gl_decisions_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
);
INSERT INTO "gl_decisions" VALUES(1,9007199254740993,'mutation',3,'insert mlp after 1','[0, 3]','[4]',NULL,NULL,NULL,0,'[]');
INSERT INTO "gl_decisions" VALUES(2,9007199254740993,'mutation',3,'insert mlp after 1','[0, 3]','[4]',NULL,NULL,NULL,0,'[]');
INSERT INTO "gl_decisions" VALUES(3,9007199254740993,'mutation',3,'insert mlp after 1','[0, 3]','[4]',1.625,0.25,0.75,0,'[]');
INSERT INTO "gl_decisions" VALUES(4,9007199254740993,'mutation',3,'insert mlp after 1','[0, 3]','[4]',NULL,NULL,NULL,0,'[]');
INSERT INTO "gl_decisions" VALUES(5,9007199254740993,'mutation',3,'insert mlp after 1','[0, 3]','[4]',NULL,NULL,NULL,1,'[[2, 1, 0]]');
CREATE TABLE gl_growth_events (
	trial_id INTEGER NOT NULL,
	step BIGINT NOT NULL,
	position INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	unit TEXT NOT NULL,
	operator TEXT NOT NULL,
	reason TEXT NOT NULL,
	tau DOUBLE,
	kappa DOUBLE,
	val_loss_before DOUBLE,
	val_loss_after DOUBLE,
	depth_before INTEGER NOT NULL,
	depth_after INTEGER NOT NULL,
	n_params_after BIGINT NOT NULL,
	not_finite TEXT NOT NULL,
	CONSTRAINT pk_gl_growth_events PRIMARY KEY (trial_id, step, position),
	CONSTRAINT fk_gl_growth_events_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "gl_growth_events" VALUES(1,200,2,1,'attn mlp','aiether','stagnation',2.5,0.7,2.0,2.1,2,4,8589934592,'');
CREATE TABLE gl_metrics (
	trial_id INTEGER NOT NULL,
	step BIGINT NOT NULL,
	split TEXT NOT NULL,
	name TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	value DOUBLE,
	state TEXT NOT NULL,
	CONSTRAINT pk_gl_metrics PRIMARY KEY (trial_id, step, split, name),
	CONSTRAINT ck_gl_metrics_state CHECK (state IN ('ok', 'nan', 'inf', '-inf')),
	CONSTRAINT fk_gl_metrics_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "gl_metrics" VALUES(1,100,'train','tokens',1,6400.0,'ok');
INSERT INTO "gl_metrics" VALUES(1,100,'val','loss',1,2.0,'ok');
INSERT INTO "gl_metrics" VALUES(1,200,'val','loss',1,NULL,'nan');
INSERT INTO "gl_metrics" VALUES(3,50,'val','loss',1,2.5,'ok');
CREATE TABLE gl_promotions (
	trial_id INTEGER NOT NULL, 
	rung INTEGER NOT NULL, 
	finished JSON NOT NULL, 
	running JSON NOT NULL, 
	climbs JSON NOT NULL, 
	predicted_mean DOUBLE, 
	predicted_sd DOUBLE, 
	predicted_runs DOUBLE, 
	revision INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	CONSTRAINT pk_gl_promotions PRIMARY KEY (trial_id, rung), 
	CONSTRAINT fk_gl_promotions_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "gl_promotions" VALUES(3,0,'[0]','[1, 2]','[[2, 1, 0]]',1.625,0.25,0.75,1,1795544868.0);
CREATE TABLE gl_rungs (
	trial_id INTEGER NOT NULL, 
	rung INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	mark DOUBLE NOT NULL, 
	flops DOUBLE NOT NULL, 
	val_loss DOUBLE, 
	bits_per_byte DOUBLE, 
	slope DOUBLE, 
	extra_flops DOUBLE NOT NULL, 
	not_finite TEXT NOT NULL, 
	CONSTRAINT pk_gl_rungs PRIMARY KEY (trial_id, rung), 
	CONSTRAINT fk_gl_rungs_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "gl_rungs" VALUES(3,0,1,50,1000.0,1010.0,2.5,3.5,-0.25,0.0,'');
CREATE TABLE gl_studies (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	spec JSON NOT NULL, former_specs JSON DEFAULT '[]' NOT NULL,
	CONSTRAINT uq_gl_studies_name UNIQUE (name)
);
INSERT INTO "gl_studies" VALUES(1,'nightly',1.79554486867700815195e+09,'{"name": "nightly", "seed": 0, "n_trials": 12, "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "layouts": {"blocks": {"attn": {}, "mlp": {}}, "d_model": [8], "depth": [1, 2], "start_with": [], "max_params": 0}, "objective": {"metric": "val_loss"}, "sampler": {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200}, "train": {"batch_size": 32, "seq_len": 128, "lr": {"low": 0.0003, "high": 0.01, "log": true}, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"steps": 100}}','[{"name": "nightly", "seed": 0, "n_trials": 10, "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "layouts": {"blocks": {"attn": {}, "mlp": {}}, "d_model": [8], "depth": [1, 2], "start_with": [], "max_params": 0}, "objective": {"metric": "val_loss"}, "sampler": {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200}, "train": {"batch_size": 32, "seq_len": 128, "lr": {"low": 0.0003, "high": 0.01, "log": true}, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"steps": 100}}]');
CREATE TABLE gl_trajectory (
	trial_id INTEGER NOT NULL,
	step BIGINT NOT NULL,
	unit INTEGER NOT NULL,
	tensor TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	n_increments INTEGER NOT NULL,
	tau DOUBLE,
	kappa DOUBLE,
	diffusion_exponent DOUBLE,
	drift_to_noise DOUBLE,
	drift_z DOUBLE,
	path DOUBLE,
	displacement DOUBLE,
	state TEXT NOT NULL,
	not_finite TEXT NOT NULL,
	CONSTRAINT pk_gl_trajectory PRIMARY KEY (trial_id, step, unit, tensor),
	CONSTRAINT ck_gl_trajectory_state CHECK (state IN ('ok', 'still', 'closed')),
	CONSTRAINT fk_gl_trajectory_trial_id FOREIGN KEY(trial_id) REFERENCES gl_trials (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "gl_trajectory" VALUES(1,100,1,'',1,14,3.7,3.6,0.5,-0.01,0.3,12.0,3.2,'ok','');
CREATE TABLE "gl_trials" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	study_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	state TEXT NOT NULL,
	spec JSON NOT NULL,
	layout TEXT NOT NULL,
	layout_hash TEXT NOT NULL,
	params JSON NOT NULL,
	depth_start INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	lease_expires_at DOUBLE,
	strikes INTEGER NOT NULL,
	created_at DOUBLE NOT NULL,
	started_at DOUBLE,
	ended_at DOUBLE,
	layout_end TEXT,
	depth_end INTEGER,
	n_params BIGINT,
	val_loss DOUBLE,
	best_val_loss DOUBLE,
	bits_per_byte DOUBLE,
	flops DOUBLE,
	tokens BIGINT,
	steps BIGINT,
	elapsed_s DOUBLE,
	sample TEXT NOT NULL,
	error TEXT NOT NULL, engine TEXT DEFAULT '' NOT NULL, lease_s DOUBLE, may_pass INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT ck_gl_trials_state CHECK (state IN ('queued', 'running', 'paused', 'completed', 'diverged', 'leak', 'failed')),
	CONSTRAINT ck_gl_trials_number CHECK (number >= 0),
	CONSTRAINT ck_gl_trials_lease CHECK ((state = 'running') = (lease_expires_at IS NOT NULL)),
	CONSTRAINT fk_gl_trials_study_id FOREIGN KEY(study_id) REFERENCES gl_studies (id) ON DELETE CASCADE,
	CONSTRAINT uq_gl_trials_study_id_number UNIQUE (study_id, number)
);
INSERT INTO "gl_trials" VALUES(1,1,0,'completed','{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}','d=8 attn mlp','2a2c99686bf3f82e','{"train.lr": 0.001}',2,1,NULL,0,1.7955448686999812126e+09,1.79554486872299456597e+09,1.79554486876101493829e+09,'d=8 (attn mlp)x2',4,1000,1.5,1.4,2.2,1.18059162071741130344e+21,1099511627776,100,12.5,'To be','','graph',NULL,0);
INSERT INTO "gl_trials" VALUES(2,1,1,'diverged','{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}','d=8 attn mlp','2a2c99686bf3f82e','{"train.lr": 0.001}',2,1,NULL,0,1.79554486870501041418e+09,1.79554486877698755258e+09,1.79554486878398799894e+09,'d=8 (attn mlp)x2',4,1000,NULL,1.4,2.2,1.18059162071741130344e+21,1099511627776,100,12.5,'','the loss was no longer a finite number at step 40','',NULL,0);
INSERT INTO "gl_trials" VALUES(3,1,2,'running','{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}','d=8 attn mlp','2a2c99686bf3f82e','{"train.lr": 0.001}',2,2,1.79554492881299614906e+09,1,1.79554486870899343486e+09,1.79554486878801131252e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'','','',60.0,1);
INSERT INTO "gl_trials" VALUES(4,1,3,'queued','{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}','d=8 attn mlp','2a2c99686bf3f82e','{"train.lr": 0.001}',2,0,NULL,0,1.79554486871201086041e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'','','',NULL,0);
INSERT INTO "gl_trials" VALUES(5,1,4,'queued','{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}','d=8 attn mlp','2a2c99686bf3f82e','{"train.lr": 0.001}',2,0,NULL,0,1795544868.717,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'','','',NULL,0);
CREATE TABLE gl_workers (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	host TEXT NOT NULL,
	pid INTEGER NOT NULL,
	device TEXT NOT NULL,
	versions JSON NOT NULL,
	started_at DOUBLE NOT NULL,
	heartbeat_at DOUBLE NOT NULL,
	ended_at DOUBLE
, silence_ended_at DOUBLE);
INSERT INTO "gl_workers" VALUES(1,'gpu0','box',8196,'cpu','{"torch": "2.13"}',1795544868.68598,1.79554486881400203707e+09,NULL,1.79554486381400203709e+09);
INSERT INTO "gl_workers" VALUES(2,'gpu1','box',8196,'cpu','{"torch": "2.13"}',1.79554486869201517101e+09,1.79554486869201517101e+09,NULL,NULL);
CREATE TABLE growlab_alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT growlab_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "growlab_alembic_version" VALUES('0006');
CREATE INDEX ix_gl_workers_heard ON gl_workers (heartbeat_at);
CREATE INDEX ix_gl_trials_open ON gl_trials (study_id, number) WHERE state IN ('queued', 'running');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('gl_studies',2);
INSERT INTO "sqlite_sequence" VALUES('gl_workers',2);
INSERT INTO "sqlite_sequence" VALUES('gl_artifacts',3);
INSERT INTO "sqlite_sequence" VALUES('gl_trials',6);
INSERT INTO "sqlite_sequence" VALUES('gl_attempts',4);
COMMIT;
