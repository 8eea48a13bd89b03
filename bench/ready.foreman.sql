SELECT count(*) FROM foreman.live_job WHERE status = 'pending';
