//! What one session can show of the guard and of the lists that Rust and SQL share. Each test is rolled back.

/// Where cargo-pgrx looks for the server's settings.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to set up: each test makes what it needs.
    pub fn setup(_options: Vec<&str>) {}

    /// The server's defaults will do.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        Vec::new()
    }
}

#[pgrx::pg_schema]
#[allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used, reason = "a test stands where a caller does")]
mod tests {
    use crate::access::LEVELS;
    use crate::error::Code;
    use crate::guard::{self, function::Function};
    use crate::jobs::status::Status;
    use crate::pg::datum::Jsonb;
    use pgrx::prelude::*;
    use serde_json::Value;

    /// A function of ours with a fault in it.
    #[pg_extern]
    fn faulty() -> Jsonb {
        guard::run(Function::GetJob, || panic!("a fault"))
    }

    /// The one value of a query.
    fn ask<T: FromDatum + IntoDatum>(sql: &str) -> T {
        Spi::get_one(sql).unwrap().unwrap()
    }

    /// A call's reply.
    fn reply(call: &str) -> Value {
        ask::<pgrx::JsonB>(&format!("SELECT {call}")).0
    }

    #[pg_test]
    fn a_panic_is_an_internal_error_and_the_session_goes_on() {
        let answer = reply("tests.faulty()");
        assert_eq!(answer["error_code"], "INTERNAL_ERROR");
        assert_eq!(answer["sqlstate"], "XX000");
        assert_eq!(reply("foreman.create_job('after')")["status"], "success");
    }

    #[pg_test]
    fn the_codes_in_sql_are_those_in_rust() {
        for code in Code::ALL {
            let row = format!("FROM foreman.error_codes WHERE code = '{}'", code.name());
            assert_eq!(ask::<i32>(&format!("SELECT http_status {row}")), code.http_status(), "{code:?}");
            assert_eq!(ask::<bool>(&format!("SELECT retryable {row}")), code.retryable(), "{code:?}");
            assert!(ask::<bool>(&format!("SELECT '{}' = ANY (sqlstates) {row}", code.own_sqlstate())), "{code:?}");
        }
        assert_eq!(ask::<i64>("SELECT count(*) FROM foreman.error_codes"), Code::ALL.len() as i64);
    }

    #[pg_test]
    fn each_sqlstate_that_the_view_names_has_the_code_beside_it() {
        let named = ask::<pgrx::JsonB>(
            "SELECT jsonb_object_agg(state, code) FROM foreman.error_codes, unnest(sqlstates) AS state \
             WHERE state ~ '^[0-9A-Z]{5}$'",
        );
        for (state, code) in named.0.as_object().unwrap() {
            assert_eq!(Code::of_sqlstate(state).name(), code, "{state}");
        }
    }

    #[pg_test]
    fn the_states_in_sql_are_those_in_rust() {
        let labels = "SELECT array_agg(l::text) FROM unnest(enum_range(NULL::foreman.job_status)) AS l";
        assert_eq!(ask::<Vec<String>>(labels), Status::NAMES);
    }

    #[pg_test]
    fn the_levels_in_sql_are_those_in_rust() {
        let mut levels = LEVELS.to_vec();
        levels.sort_unstable();
        assert_eq!(
            ask::<Vec<String>>("SELECT array_agg(DISTINCT level ORDER BY level) FROM foreman.access_levels"),
            levels
        );
    }

    #[pg_test]
    fn each_function_of_the_guard_is_a_function_in_sql() {
        for function in Function::ALL {
            let count = format!(
                "SELECT count(*) FROM pg_proc WHERE proname = '{}' AND pronamespace = 'foreman'::regnamespace",
                function.name()
            );
            assert_eq!(ask::<i64>(&count), 1, "{}", function.name());
        }
    }

    #[pg_test]
    fn failures_of_the_machine_are_answered_after_one_attempt() {
        for (state, code) in [
            ("57P01", "DB_CONNECTION_ERROR"),
            ("57P02", "DB_CONNECTION_ERROR"),
            ("57P03", "DB_CONNECTION_ERROR"),
            ("53100", "DB_QUERY_ERROR"),
            ("53200", "DB_QUERY_ERROR"),
            ("58030", "DB_QUERY_ERROR"),
            ("XX001", "INTERNAL_ERROR"),
        ] {
            let answer =
                reply(&format!("foreman.execute($$DO 'BEGIN RAISE ''x'' USING ERRCODE = ''{state}''; END'$$)"));
            assert_eq!(answer["error_code"], code, "{state}");
            assert_eq!(answer["attempts"], 1, "{state}");
            assert_eq!(answer["sqlstate"], state);
        }
    }

    #[pg_test]
    fn a_table_with_a_trigger_takes_jobs_as_well() {
        Spi::run(
            "CREATE TABLE public.seen (id bigint);
             CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NEW; END';
             CREATE TRIGGER see AFTER INSERT ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION public.see()",
        )
        .unwrap();
        let answer = reply("foreman.create_job('watched', '{\"a\": 1}', job_type => 't', unique_key => 'k')");
        assert_eq!(answer["job_id"], ask::<i64>("SELECT id FROM public.seen"));
    }

    #[pg_test]
    fn a_trigger_that_create_job_fires_finds_nothing_by_the_callers_search_path() {
        Spi::run(
            "CREATE TABLE public.paths (path text);
             CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO public.paths VALUES (current_setting(''search_path'')); RETURN NEW; END';
             CREATE TRIGGER note AFTER INSERT ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION public.note();
             SET search_path = public",
        )
        .unwrap();
        assert_eq!(reply("foreman.create_job('paths')")["status"], "success");
        assert_eq!(ask::<String>("SELECT path FROM public.paths"), "pg_catalog, pg_temp");
        assert_eq!(ask::<String>("SELECT current_setting('search_path')"), "public");
    }

    #[pg_test]
    fn a_job_is_the_same_with_a_trigger_and_without() {
        let create = "foreman.create_job('same', '{\"a\": 1}', 't', 3, '2030-01-01 00:00:00Z', 'k', max_attempts => 7, \
                      metadata => '{\"m\": 2}')";
        let job = |id: &Value| reply(&format!("(foreman.get_job({id}) -> 'job') - '{{job_id,created_at}}'::text[]"));
        let plain = job(&reply(create)["job_id"]);
        Spi::run(
            "DELETE FROM foreman.job_key; DELETE FROM foreman.live_job;
             CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER nothing BEFORE INSERT ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION public.nothing()",
        )
        .unwrap();
        assert_eq!(plain, job(&reply(create)["job_id"]));
    }

    /// Claims a new job of this payload: as claimed, without what differs each time, and its lease.
    fn claimed(payload: &str) -> (Value, i64, String) {
        reply(&format!(
            "foreman.create_job('twice', {payload}, 't', 3, max_attempts => 2, metadata => '{{\"m\": 2}}')"
        ));
        let mut job = reply("foreman.claim_jobs('twice', lease_seconds => 77, worker => 'w')")["jobs"][0].clone();
        let (id, token) = (job["job_id"].as_i64().unwrap(), job["lease_token"].as_str().unwrap().to_owned());
        for differs in ["job_id", "lease_token", "run_at", "lease_expires_at"] {
            assert!(job.as_object_mut().unwrap().remove(differs).is_some(), "{differs}");
        }
        (job, id, token)
    }

    /// Claims jobs and ends them in each way; what is told of them, and what is kept.
    fn claimed_and_ended() -> Vec<Value> {
        // Large enough to lie outside of its row, compressed or not.
        let payload = "jsonb_build_object('n', 1234567890123, 'name', 'Zoë', 'text',
            (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 4000) AS n))";
        let mut told = Vec::new();
        for ending in
            ["complete_job({}, '{}', '[1]')", "fail_job({}, '{}', 'e', final => true)", "fail_job({}, '{}', 'e')"]
        {
            let (job, id, token) = claimed(payload);
            let call = ending.replacen("{}", &id.to_string(), 1).replacen("{}", &token, 1);
            told.push(job);
            told.push(reply(&format!("foreman.{call} - '{{job_id,ready_at}}'::text[]")));
            let times = "job_id,run_at,ready_at,created_at,started_at,finished_at,lease_expires_at";
            told.push(reply(&format!("(foreman.get_job({id}) -> 'job') - '{{{times}}}'::text[]")));
            let kept = format!(
                "SELECT count(*) FROM foreman.any_job WHERE id = {id}
                 AND (status = 'pending' OR lease_token = '{token}') AND started_at >= created_at"
            );
            assert_eq!(ask::<i64>(&kept), 1, "{call}");
        }
        told
    }

    #[pg_test]
    fn claims_and_finishes_are_the_same_with_a_trigger_and_without() {
        Spi::run("SELECT foreman.make_partition((now() AT TIME ZONE 'UTC')::date)").unwrap();
        let plain = claimed_and_ended();
        Spi::run(
            "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(NEW, OLD); END';
             CREATE TRIGGER nothing BEFORE UPDATE OR DELETE ON foreman.live_job
                 FOR EACH ROW EXECUTE FUNCTION public.nothing()",
        )
        .unwrap();
        assert_eq!(plain, claimed_and_ended());
    }

    #[pg_test]
    fn in_a_read_only_transaction_nothing_is_claimed_or_finished() {
        Spi::run("SELECT foreman.make_partition((now() AT TIME ZONE 'UTC')::date)").unwrap();
        reply("foreman.create_jobs('[{\"queue\": \"ro\"}, {\"queue\": \"ro\"}]')");
        let job = reply("foreman.claim_jobs('ro')")["jobs"][0].clone();
        let (id, token) = (&job["job_id"], job["lease_token"].as_str().unwrap());
        Spi::run("SET LOCAL transaction_read_only = on").unwrap();
        for call in [
            "claim_jobs('ro')",
            &format!("complete_job({id}, '{token}')"),
            "create_job('ro')",
            "create_job('ro', unique_key => 'k')",
        ] {
            assert_eq!(reply(&format!("foreman.{call}"))["error_code"], "READ_ONLY", "{call}");
        }
    }

    #[pg_test]
    fn an_index_of_another_shape_is_not_taken_for_ours() {
        reply(
            "foreman.create_jobs('[{\"queue\": \"i\"}, {\"queue\": \"i\", \"priority\": 7}, {\"queue\": \"i\", \"priority\": 9}]')",
        );
        let claim = || reply("foreman.claim_jobs('i')")["jobs"].as_array().map(|jobs| jobs.len());
        for columns in
            ["(queue_id, priority, ready_at, id)", "(priority, queue_id, id)", "(id) WHERE status = 'completed'"]
        {
            Spi::run("DROP INDEX foreman.live_job_ready").unwrap();
            Spi::run(&format!("CREATE INDEX live_job_ready ON foreman.live_job {columns}")).unwrap();
            assert_eq!(claim(), Some(1), "{columns}");
        }
        assert_eq!(claim(), Some(0), "what runs is not handed out again");
        assert_eq!(ask::<i64>("SELECT max(attempt)::bigint FROM foreman.live_job"), 1);
    }

    #[pg_test]
    fn a_table_that_cant_be_replicated_is_not_written_to_behind_the_servers_back() {
        reply("foreman.create_job('r')");
        Spi::run(
            "ALTER TABLE foreman.live_job REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE foreman.live_job",
        )
        .unwrap();
        assert_eq!(reply("foreman.claim_jobs('r')")["sqlstate"], "55000");
    }

    #[pg_test]
    fn one_whose_lease_has_expired_is_handed_out_alone_by_the_statement_as_well() {
        Spi::run(
            "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER nothing BEFORE UPDATE ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION public.nothing()",
        )
        .unwrap();
        let claim = |queues: &str| -> Vec<i64> {
            let jobs = reply(&format!("foreman.claim_jobs_from('{queues}', 10)"))["jobs"].clone();
            jobs.as_array().unwrap().iter().map(|job| job["payload"]["n"].as_i64().unwrap()).collect()
        };
        let create = |queue: &str, n: i64, priority: i64| {
            reply(&format!("foreman.create_job('{queue}', '{{\"n\": {n}}}', priority => {priority})"));
        };
        (1..=2).for_each(|n| create("a", n, 5));
        assert_eq!(claim("{a}"), [1, 2]);
        Spi::run("UPDATE foreman.live_job SET lease_expires_at = '2020-01-01'").unwrap();
        assert_eq!(reply("foreman.rescue_expired()")["rescued"], 2);
        create("a", 3, 0);
        create("a", 4, 9);
        create("b", 5, 5);
        assert_eq!(claim("{b,a}"), [5, 3]);
        assert_eq!(claim("{a,b}"), [1]);
        assert_eq!(claim("{b,a}"), [2]);
        assert_eq!(claim("{a,b}"), [4]);
    }
}
