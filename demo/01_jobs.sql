-- 1. Jobs
-- A job is a queue's name and any JSON. Every call answers with one JSON object; jsonb_pretty only lays it out.

SELECT jsonb_pretty(foreman.create_job('emails', '{"to": "ann@example.org", "template": "welcome"}'));

-- Arguments have names, and most have defaults. Priority 0 is taken first.

SELECT jsonb_pretty(foreman.create_job('reports', '{"month": "2026-10"}', job_type => 'pdf', priority => 1));

-- Many at once: all of them or none.

SELECT jsonb_pretty(foreman.create_jobs('[
    {"queue": "emails", "payload": {"to": "bob@example.org"}},
    {"queue": "emails", "payload": {"to": "eve@example.org"}, "run_at": "2030-01-01T00:00:00Z"}
]'));

-- Your program works on job 1, and says so.

SELECT jsonb_pretty(foreman.update_job_status(1, 'running'));

SELECT jsonb_pretty(foreman.update_job_success(1, '{"message_id": "<1@example.org>"}'));

-- A job that nobody marked as running may end as well. This one went wrong.

SELECT jsonb_pretty(foreman.update_job_failure(2, 'disk of the printer is full'));

SELECT jsonb_pretty(foreman.get_job(2));

SELECT jsonb_pretty(foreman.list_jobs('emails', page_size => 2));

SELECT jsonb_pretty(foreman.job_stats());
