SELECT bare.create_jobs(1, jobs) FROM bare.batch;
