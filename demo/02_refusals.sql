-- 2. What is refused, and how
-- Job 1 is completed. It cannot run again, and the answer says what could be done.

SELECT jsonb_pretty(foreman.update_job_status(1, 'running'));

-- The state that it has already is no error: whoever lost the connection may ask again.

SELECT jsonb_pretty(foreman.update_job_status(1, 'completed'));

-- A unique key keeps a job from being created twice. By default the second call names the job that is there.

SELECT jsonb_pretty(foreman.create_job('invoices', '{"order": 7}', unique_key => 'order-7'));

SELECT jsonb_pretty(foreman.create_job('invoices', '{"order": 7}', unique_key => 'order-7'));

SELECT jsonb_pretty(foreman.create_job('invoices', '{"order": 7}', unique_key => 'order-7', on_duplicate => 'error'));

SELECT jsonb_pretty(foreman.create_job('invoices', '{"order": 7, "copies": 2}', unique_key => 'order-7',
                                       on_duplicate => 'replace'));

-- Bad input: the answer names the argument, what came and what is allowed.

SELECT jsonb_pretty(foreman.create_job('emails', '{}', priority => 42));

SELECT jsonb_pretty(foreman.create_job('   '));

SELECT jsonb_pretty(foreman.update_job_status(3, 'sleeping'));

SELECT jsonb_pretty(foreman.get_job(999));

-- A refused call does not break your transaction: what came before it is still committed.

BEGIN;
CREATE TABLE public.note (text text);
INSERT INTO public.note VALUES ('written before the refused call');
SELECT jsonb_pretty(foreman.delete_job(999));
COMMIT;
TABLE public.note;
