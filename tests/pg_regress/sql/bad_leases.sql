-- Bad input of workers: each argument is named, with what came and what is allowed; nothing is changed.
SELECT foreman.create_job('bad') ->> 'created' AS created;
SELECT j ->> 'job_id' AS id, j ->> 'lease_token' AS token FROM jsonb_array_elements(foreman.claim_jobs('bad') -> 'jobs') AS j \gset
SELECT set_config('test.id', :'id', false), set_config('test.token', :'token', false) \gset ignored_
CREATE FUNCTION refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    reply jsonb;
BEGIN
    EXECUTE 'SELECT foreman.' || replace(replace(call, ':id', current_setting('test.id')), ':token', quote_literal(current_setting('test.token'))) INTO reply;
    RETURN concat_ws(' | ', reply ->> 'error_code', reply ->> 'argument', reply ->> 'got', reply ->> 'allowed');
END
$$;
SELECT c.call, refused(c.call) AS reply
FROM unnest(ARRAY[
    'claim_jobs('''')', 'claim_jobs(''bad'', 0)', 'claim_jobs(''bad'', 1001)', 'claim_jobs(''bad'', NULL)',
    'claim_jobs(''bad'', 1, 0)', 'claim_jobs(''bad'', 1, -1)', 'claim_jobs(''bad'', 1, ''NaN'')', 'claim_jobs(''bad'', 1, ''infinity'')',
    'claim_jobs(''bad'', 1, 604801)', 'claim_jobs(''bad'', worker => '' '')', 'claim_jobs(''bad'', options => ''{"fifo": true}'')',
    'claim_jobs_from(''{}'')', 'claim_jobs_from(''{a,NULL}'')', 'claim_jobs_from(''{a,b,a}'')', 'claim_jobs_from(''{{a},{b}}'')',
    'claim_jobs_from(''{a,""}'')', 'claim_jobs_from(array_agg(n::text)) FROM generate_series(1, 101) AS n',
    'heartbeat(0, :token)', 'heartbeat(:id, NULL)', 'heartbeat(:id, ''token'')', 'heartbeat(:id, :token, 0)', 'heartbeat(:id, :token, ''-infinity'')',
    'heartbeat(:id, :token, progress => 101)', 'heartbeat(:id, :token, progress => -1)', 'heartbeat(:id, :token, note => repeat(''x'', 121))',
    'complete_job(:id, '''')', 'complete_job(NULL, :token)', 'complete_job(:id, :token, options => ''{"a": 1}'')',
    'fail_job(:id, :token, retry_in_seconds => -1)', 'fail_job(:id, :token, retry_in_seconds => ''NaN'')', 'fail_job(:id, :token, retry_in_seconds => 31536001)',
    'fail_job(:id, :token, final => NULL)', 'fail_job(:id, :token, repeat(''x'', 65537))',
    'release_job(:id, :token, ''infinity'')', 'release_job(:id, :token, ''1999-12-31'')', 'release_job(:id, :token, ''2200-01-01'')',
    'complete_jobs(''{}'')', 'complete_jobs(''[]'')', 'complete_jobs(''[1]'')', 'complete_jobs(''[{"job_id": 1}]'')', 'complete_jobs(''[{"lease_token": "x"}]'')',
    'complete_jobs(''[{"job_id": 0}]'')', 'complete_jobs(''[{"job_id": 1.5}]'')', 'complete_jobs(''[{"job_id": "1"}]'')', 'complete_jobs(''[{"error": "x"}]'')',
    'complete_jobs(jsonb_build_array(l, l)) FROM jsonb_build_object(''job_id'', :id, ''lease_token'', :token) AS l',
    'complete_jobs(jsonb_agg(''{}''::jsonb)) FROM generate_series(1, 10001)',
    'fail_jobs(''[{"final": "yes"}]'')', 'fail_jobs(''[{"retry_in_seconds": -1}]'')', 'fail_jobs(''[{"retry_in_seconds": "1 month"}]'')', 'fail_jobs(''[{"error": 1}]'')',
    'heartbeat_all(''[{"progress": 1000}]'')', 'heartbeat_all(''[{"progress": 1.5}]'')', 'heartbeat_all(''[{"note": 1}]'')', 'heartbeat_all(''[{"extend_seconds": 0}]'')',
    'finish_and_claim(''[]'', NULL)', 'finish_and_claim(''[]'', ''bad'', 0)', 'finish_and_claim(NULL, ''bad'')',
    'finish_and_claim(jsonb_build_array(l), ''bad'') FROM jsonb_build_object(''job_id'', :id, ''lease_token'', :token) AS l',
    'finish_and_claim(''[{"outcome": "done"}]'', ''bad'')',
    'finish_and_claim(jsonb_build_array(l), ''bad'') FROM jsonb_build_object(''job_id'', :id, ''lease_token'', :token, ''outcome'', ''completed'', ''error'', ''x'') AS l',
    'finish_and_claim(jsonb_build_array(l), ''bad'') FROM jsonb_build_object(''job_id'', :id, ''lease_token'', :token, ''outcome'', ''failed'', ''result'', 1) AS l',
    'finish_and_claim(''[{"run_at": "tomorrow"}]'', ''bad'')',
    'explain_job(0)', 'request_cancel(NULL)', 'request_cancel(:id, repeat(''x'', 65537))', 'rescue_expired(0)', 'rescue_expired(10001)',
    'configure_queue(''bad'', lease_seconds => 0)', 'configure_queue(''bad'', lease_seconds => 2678400)', 'configure_queue(''bad'', max_attempts => 0)', 'configure_queue(''bad'', backoff => ''random'')',
    'configure_queue(''bad'', backoff_base_seconds => -1)', 'configure_queue(''bad'', backoff_factor => 0.5)', 'configure_queue(''bad'', backoff_factor => 11)',
    'configure_queue(''bad'', backoff_base_seconds => 10, backoff_cap_seconds => 9)', 'configure_queue(''bad'', backoff_jitter => 1.1)',
    'configure_queue(''bad'', max_run_seconds => 0)', 'configure_queue(''bad'', completed_retention_seconds => 0)', 'configure_queue(''bad'', failed_retention_seconds => ''-infinity'')',
    'configure_queue(''bad'', failed_retention_seconds => ''NaN'')', 'configure_queue(''bad'', default_priority => 10)',
    'configure_queue(''bad'', ready_target_seconds => -1)', 'configure_queue(''bad'', ready_target_seconds => ''infinity'')', 'configure_queue(''bad'', options => ''[]'')',
    'pause_queue('''')', 'resume_queue(NULL)'
]) WITH ORDINALITY AS c (call, place)
ORDER BY c.place;
-- The transaction stayed usable, the lease is the worker's still, and no policy was changed.
SELECT foreman.heartbeat(:id, :'token') ->> 'status' AS status;
SELECT lease_seconds, backoff, backoff_base_seconds, backoff_cap_seconds FROM foreman.queues WHERE queue = 'bad';
SELECT foreman.complete_job(:id, :'token') ->> 'to' AS ended;
DROP FUNCTION refused;
