SELECT count(*) FROM hand.job_in_place WHERE lease_until IS NULL;
