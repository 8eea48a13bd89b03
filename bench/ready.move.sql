SELECT count(*) FROM hand.job WHERE lease_until IS NULL;
