-- A database of schema 0006, as growlab wrote it (pg_dump --inserts).
-- Trial 0 is completed, 1 diverged, 2 runs after a crash and a promotion at its first rung, 3 and 4 wait; a study with
-- one trial was deleted.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.gl_artifacts (
    id integer NOT NULL,
    trial_id integer NOT NULL,
    epoch integer NOT NULL,
    kind text NOT NULL,
    step bigint NOT NULL,
    path text NOT NULL,
    sha256 text NOT NULL,
    n_bytes bigint NOT NULL
);
CREATE SEQUENCE public.gl_artifacts_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gl_artifacts_id_seq OWNED BY public.gl_artifacts.id;
CREATE TABLE public.gl_attempts (
    id integer NOT NULL,
    trial_id integer NOT NULL,
    epoch integer NOT NULL,
    worker_id integer NOT NULL,
    started_at double precision NOT NULL,
    heartbeat_at double precision NOT NULL,
    ended_at double precision,
    end_reason text,
    note text NOT NULL,
    step bigint DEFAULT '0'::bigint NOT NULL,
    CONSTRAINT ck_gl_attempts_end_reason CHECK ((end_reason = ANY (ARRAY['finished'::text, 'paused'::text, 'stopped'::text, 'crashed'::text, 'lost'::text])))
);
CREATE SEQUENCE public.gl_attempts_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gl_attempts_id_seq OWNED BY public.gl_attempts.id;
CREATE TABLE public.gl_decisions (
    trial_id integer NOT NULL,
    seed bigint NOT NULL,
    origin text NOT NULL,
    parent integer,
    mutation text NOT NULL,
    finished json NOT NULL,
    running json NOT NULL,
    predicted_mean double precision,
    predicted_sd double precision,
    predicted_runs double precision,
    revision integer DEFAULT 0 NOT NULL,
    climbs json DEFAULT '[]'::json NOT NULL
);
CREATE TABLE public.gl_growth_events (
    trial_id integer NOT NULL,
    step bigint NOT NULL,
    "position" integer NOT NULL,
    epoch integer NOT NULL,
    unit text NOT NULL,
    operator text NOT NULL,
    reason text NOT NULL,
    tau double precision,
    kappa double precision,
    val_loss_before double precision,
    val_loss_after double precision,
    depth_before integer NOT NULL,
    depth_after integer NOT NULL,
    n_params_after bigint NOT NULL,
    not_finite text NOT NULL
);
CREATE TABLE public.gl_metrics (
    trial_id integer NOT NULL,
    step bigint NOT NULL,
    split text NOT NULL,
    name text NOT NULL,
    epoch integer NOT NULL,
    value double precision,
    state text NOT NULL,
    CONSTRAINT ck_gl_metrics_state CHECK ((state = ANY (ARRAY['ok'::text, 'nan'::text, 'inf'::text, '-inf'::text])))
);
CREATE TABLE public.gl_promotions (
    trial_id integer NOT NULL,
    rung integer NOT NULL,
    finished json NOT NULL,
    running json NOT NULL,
    climbs json NOT NULL,
    predicted_mean double precision,
    predicted_sd double precision,
    predicted_runs double precision,
    revision integer NOT NULL,
    created_at double precision NOT NULL
);
CREATE TABLE public.gl_rungs (
    trial_id integer NOT NULL,
    rung integer NOT NULL,
    epoch integer NOT NULL,
    step bigint NOT NULL,
    mark double precision NOT NULL,
    flops double precision NOT NULL,
    val_loss double precision,
    bits_per_byte double precision,
    slope double precision,
    extra_flops double precision NOT NULL,
    not_finite text NOT NULL
);
CREATE TABLE public.gl_studies (
    id integer NOT NULL,
    name text NOT NULL,
    created_at double precision NOT NULL,
    spec json NOT NULL,
    former_specs json DEFAULT '[]'::json NOT NULL
);
CREATE SEQUENCE public.gl_studies_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gl_studies_id_seq OWNED BY public.gl_studies.id;
CREATE TABLE public.gl_trajectory (
    trial_id integer NOT NULL,
    step bigint NOT NULL,
    unit integer NOT NULL,
    tensor text NOT NULL,
    epoch integer NOT NULL,
    n_increments integer NOT NULL,
    tau double precision,
    kappa double precision,
    diffusion_exponent double precision,
    drift_to_noise double precision,
    drift_z double precision,
    path double precision,
    displacement double precision,
    state text NOT NULL,
    not_finite text NOT NULL,
    CONSTRAINT ck_gl_trajectory_state CHECK ((state = ANY (ARRAY['ok'::text, 'still'::text, 'closed'::text])))
);
CREATE TABLE public.gl_trials (
    id integer NOT NULL,
    study_id integer NOT NULL,
    number integer NOT NULL,
    state text NOT NULL,
    spec json NOT NULL,
    layout text NOT NULL,
    layout_hash text NOT NULL,
    params json NOT NULL,
    depth_start integer NOT NULL,
    epoch integer NOT NULL,
    lease_expires_at double precision,
    strikes integer NOT NULL,
    created_at double precision NOT NULL,
    started_at double precision,
    ended_at double precision,
    layout_end text,
    depth_end integer,
    n_params bigint,
    val_loss double precision,
    best_val_loss double precision,
    bits_per_byte double precision,
    flops double precision,
    tokens bigint,
    steps bigint,
    elapsed_s double precision,
    sample text NOT NULL,
    error text NOT NULL,
    engine text DEFAULT ''::text NOT NULL,
    lease_s double precision,
    may_pass integer DEFAULT 0 NOT NULL,
    CONSTRAINT ck_gl_trials_lease CHECK (((state = 'running'::text) = (lease_expires_at IS NOT NULL))),
    CONSTRAINT ck_gl_trials_number CHECK ((number >= 0)),
    CONSTRAINT ck_gl_trials_state CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'paused'::text, 'completed'::text, 'diverged'::text, 'leak'::text, 'failed'::text])))
);
CREATE SEQUENCE public.gl_trials_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gl_trials_id_seq OWNED BY public.gl_trials.id;
CREATE TABLE public.gl_workers (
    id integer NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    device text NOT NULL,
    versions json NOT NULL,
    started_at double precision NOT NULL,
    heartbeat_at double precision NOT NULL,
    ended_at double precision,
    silence_ended_at double precision
);
CREATE SEQUENCE public.gl_workers_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gl_workers_id_seq OWNED BY public.gl_workers.id;
CREATE TABLE public.growlab_alembic_version (
    version_num character varying(32) NOT NULL
);
ALTER TABLE ONLY public.gl_artifacts ALTER COLUMN id SET DEFAULT nextval('public.gl_artifacts_id_seq'::regclass);
ALTER TABLE ONLY public.gl_attempts ALTER COLUMN id SET DEFAULT nextval('public.gl_attempts_id_seq'::regclass);
ALTER TABLE ONLY public.gl_studies ALTER COLUMN id SET DEFAULT nextval('public.gl_studies_id_seq'::regclass);
ALTER TABLE ONLY public.gl_trials ALTER COLUMN id SET DEFAULT nextval('public.gl_trials_id_seq'::regclass);
ALTER TABLE ONLY public.gl_workers ALTER COLUMN id SET DEFAULT nextval('public.gl_workers_id_seq'::regclass);
INSERT INTO public.gl_artifacts VALUES (2, 1, 1, 'model', 200, 't/model.safetensors', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 4096);
INSERT INTO public.gl_artifacts VALUES (3, 3, 1, 'checkpoint', 50, 'trial/step-50', 'abababababababababababababababababababababababababababababababab', 1099511627776);
INSERT INTO public.gl_attempts VALUES (1, 1, 1, 1, 1795544870.479632, 1795544870.521309, 1795544870.52244, 'finished', '', 0);
INSERT INTO public.gl_attempts VALUES (2, 2, 1, 1, 1795544870.548751, 1795544870.564037, 1795544870.565373, 'finished', '', 0);
INSERT INTO public.gl_attempts VALUES (3, 3, 1, 1, 1795544870.57434, 1795544870.601115, 1795544870.60228, 'crashed', 'out of luck', 0);
INSERT INTO public.gl_attempts VALUES (4, 3, 2, 1, 1795544870.614061, 1795544870.614066, NULL, NULL, '', 50);
INSERT INTO public.gl_decisions VALUES (1, 9007199254740993, 'mutation', 3, 'insert mlp after 1', '[0, 3]', '[4]', NULL, NULL, NULL, 0, '[]');
INSERT INTO public.gl_decisions VALUES (2, 9007199254740993, 'mutation', 3, 'insert mlp after 1', '[0, 3]', '[4]', NULL, NULL, NULL, 0, '[]');
INSERT INTO public.gl_decisions VALUES (4, 9007199254740993, 'mutation', 3, 'insert mlp after 1', '[0, 3]', '[4]', NULL, NULL, NULL, 0, '[]');
INSERT INTO public.gl_decisions VALUES (3, 9007199254740993, 'mutation', 3, 'insert mlp after 1', '[0, 3]', '[4]', 1.625, 0.25, 0.75, 0, '[]');
INSERT INTO public.gl_decisions VALUES (5, 9007199254740993, 'mutation', 3, 'insert mlp after 1', '[0, 3]', '[4]', NULL, NULL, NULL, 1, '[[2, 1, 0]]');
INSERT INTO public.gl_growth_events VALUES (1, 200, 2, 1, 'attn mlp', 'aiether', 'stagnation', 2.5, 0.7, 2, 2.1, 2, 4, 8589934592, '');
INSERT INTO public.gl_metrics VALUES (1, 100, 'val', 'loss', 1, 2, 'ok');
INSERT INTO public.gl_metrics VALUES (1, 100, 'train', 'tokens', 1, 6400, 'ok');
INSERT INTO public.gl_metrics VALUES (1, 200, 'val', 'loss', 1, NULL, 'nan');
INSERT INTO public.gl_metrics VALUES (3, 50, 'val', 'loss', 1, 2.5, 'ok');
INSERT INTO public.gl_promotions VALUES (3, 0, '[0]', '[1, 2]', '[[2, 1, 0]]', 1.625, 0.25, 0.75, 1, 1795544868);
INSERT INTO public.gl_rungs VALUES (3, 0, 1, 50, 1000, 1010, 2.5, 3.5, -0.25, 0, '');
INSERT INTO public.gl_studies VALUES (1, 'nightly', 1795544870.388374, '{"name": "nightly", "seed": 0, "n_trials": 12, "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "layouts": {"blocks": {"attn": {}, "mlp": {}}, "d_model": [8], "depth": [1, 2], "start_with": [], "max_params": 0}, "objective": {"metric": "val_loss"}, "sampler": {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200}, "train": {"batch_size": 32, "seq_len": 128, "lr": {"low": 0.0003, "high": 0.01, "log": true}, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"steps": 100}}', '[{"name": "nightly", "seed": 0, "n_trials": 10, "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "layouts": {"blocks": {"attn": {}, "mlp": {}}, "d_model": [8], "depth": [1, 2], "start_with": [], "max_params": 0}, "objective": {"metric": "val_loss"}, "sampler": {"startup_trials": 8, "population": 20, "tournament": 5, "tries": 200}, "train": {"batch_size": 32, "seq_len": 128, "lr": {"low": 0.0003, "high": 0.01, "log": true}, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"steps": 100}}]');
INSERT INTO public.gl_trajectory VALUES (1, 100, 1, '', 1, 14, 3.7, 3.6, 0.5, -0.01, 0.3, 12, 3.2, 'ok', '');
INSERT INTO public.gl_trials VALUES (4, 1, 3, 'queued', '{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}', 'd=8 attn mlp', '2a2c99686bf3f82e', '{"train.lr": 0.001}', 2, 0, NULL, 0, 1795544870.455948, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', '', NULL, 0);
INSERT INTO public.gl_trials VALUES (5, 1, 4, 'queued', '{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}', 'd=8 attn mlp', '2a2c99686bf3f82e', '{"train.lr": 0.001}', 2, 0, NULL, 0, 1795544870.463699, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', '', NULL, 0);
INSERT INTO public.gl_trials VALUES (2, 1, 1, 'diverged', '{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}', 'd=8 attn mlp', '2a2c99686bf3f82e', '{"train.lr": 0.001}', 2, 1, NULL, 0, 1795544870.434363, 1795544870.544492, 1795544870.559938, 'd=8 (attn mlp)x2', 4, 1000, NULL, 1.4, 2.2, 1.1805916207174113e+21, 1099511627776, 100, 12.5, '', 'the loss was no longer a finite number at step 40', '', NULL, 0);
INSERT INTO public.gl_trials VALUES (1, 1, 0, 'completed', '{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}', 'd=8 attn mlp', '2a2c99686bf3f82e', '{"train.lr": 0.001}', 2, 1, NULL, 0, 1795544870.422856, 1795544870.476929, 1795544870.520518, 'd=8 (attn mlp)x2', 4, 1000, 1.5, 1.4, 2.2, 1.1805916207174113e+21, 1099511627776, 100, 12.5, 'To be', '', 'graph', NULL, 0);
INSERT INTO public.gl_trials VALUES (3, 1, 2, 'running', '{"layout": "d=8 attn[heads=2] mlp[expand=2.0]", "data": {"source": "text", "path": "", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1, "sha256": "", "column": "text", "vocab_size": 0, "tokenizer_path": "", "tokenizer_sha256": "", "n_items": 0}, "train": {"batch_size": 32, "seq_len": 128, "lr": 0.003, "min_lr_ratio": 0.1, "warmup_fraction": 0.05, "decay_fraction": 0.4, "decay_shape": "linear", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "dropout": 0.0, "precision": "auto", "eval_every": 100}, "growth": {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5, "threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "history_window_size": 15, "collect_interval_steps": 100, "trigger": "never", "operator": "aiether", "preserve_function": true, "unit": "last", "freeze_steps": 400, "rewarm_steps": 100, "cooldown_steps": 400, "max_depth": 12}, "budget": {"unit": "steps", "amount": 100}, "seed": 7}', 'd=8 attn mlp', '2a2c99686bf3f82e', '{"train.lr": 0.001}', 2, 2, 1795544930.612403, 1, 1795544870.446692, 1795544870.572548, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', '', 60, 1);
INSERT INTO public.gl_workers VALUES (2, 'gpu1', 'box', 8200, 'cpu', '{"torch": "2.13"}', 1795544870.408278, 1795544870.408288, NULL, NULL);
INSERT INTO public.gl_workers VALUES (1, 'gpu0', 'box', 8200, 'cpu', '{"torch": "2.13"}', 1795544870.400116, 1795544870.616196, NULL, 1795544865.616196);
INSERT INTO public.growlab_alembic_version VALUES ('0006');
SELECT pg_catalog.setval('public.gl_artifacts_id_seq', 3, true);
SELECT pg_catalog.setval('public.gl_attempts_id_seq', 4, true);
SELECT pg_catalog.setval('public.gl_studies_id_seq', 2, true);
SELECT pg_catalog.setval('public.gl_trials_id_seq', 6, true);
SELECT pg_catalog.setval('public.gl_workers_id_seq', 2, true);
ALTER TABLE ONLY public.growlab_alembic_version
    ADD CONSTRAINT growlab_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.gl_artifacts
    ADD CONSTRAINT pk_gl_artifacts PRIMARY KEY (id);
ALTER TABLE ONLY public.gl_attempts
    ADD CONSTRAINT pk_gl_attempts PRIMARY KEY (id);
ALTER TABLE ONLY public.gl_decisions
    ADD CONSTRAINT pk_gl_decisions PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.gl_growth_events
    ADD CONSTRAINT pk_gl_growth_events PRIMARY KEY (trial_id, step, "position");
ALTER TABLE ONLY public.gl_metrics
    ADD CONSTRAINT pk_gl_metrics PRIMARY KEY (trial_id, step, split, name);
ALTER TABLE ONLY public.gl_promotions
    ADD CONSTRAINT pk_gl_promotions PRIMARY KEY (trial_id, rung);
ALTER TABLE ONLY public.gl_rungs
    ADD CONSTRAINT pk_gl_rungs PRIMARY KEY (trial_id, rung);
ALTER TABLE ONLY public.gl_studies
    ADD CONSTRAINT pk_gl_studies PRIMARY KEY (id);
ALTER TABLE ONLY public.gl_trajectory
    ADD CONSTRAINT pk_gl_trajectory PRIMARY KEY (trial_id, step, unit, tensor);
ALTER TABLE ONLY public.gl_trials
    ADD CONSTRAINT pk_gl_trials PRIMARY KEY (id);
ALTER TABLE ONLY public.gl_workers
    ADD CONSTRAINT pk_gl_workers PRIMARY KEY (id);
ALTER TABLE ONLY public.gl_artifacts
    ADD CONSTRAINT uq_gl_artifacts_trial_id_kind_step_path UNIQUE (trial_id, kind, step, path);
ALTER TABLE ONLY public.gl_attempts
    ADD CONSTRAINT uq_gl_attempts_trial_id_epoch UNIQUE (trial_id, epoch);
ALTER TABLE ONLY public.gl_studies
    ADD CONSTRAINT uq_gl_studies_name UNIQUE (name);
ALTER TABLE ONLY public.gl_trials
    ADD CONSTRAINT uq_gl_trials_study_id_number UNIQUE (study_id, number);
CREATE INDEX ix_gl_trials_open ON public.gl_trials USING btree (study_id, number) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE INDEX ix_gl_workers_heard ON public.gl_workers USING btree (heartbeat_at);
ALTER TABLE ONLY public.gl_artifacts
    ADD CONSTRAINT fk_gl_artifacts_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_attempts
    ADD CONSTRAINT fk_gl_attempts_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_attempts
    ADD CONSTRAINT fk_gl_attempts_worker_id FOREIGN KEY (worker_id) REFERENCES public.gl_workers(id);
ALTER TABLE ONLY public.gl_decisions
    ADD CONSTRAINT fk_gl_decisions_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_growth_events
    ADD CONSTRAINT fk_gl_growth_events_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_metrics
    ADD CONSTRAINT fk_gl_metrics_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_promotions
    ADD CONSTRAINT fk_gl_promotions_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_rungs
    ADD CONSTRAINT fk_gl_rungs_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_trajectory
    ADD CONSTRAINT fk_gl_trajectory_trial_id FOREIGN KEY (trial_id) REFERENCES public.gl_trials(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gl_trials
    ADD CONSTRAINT fk_gl_trials_study_id FOREIGN KEY (study_id) REFERENCES public.gl_studies(id) ON DELETE CASCADE;
