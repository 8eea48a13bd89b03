-- There is nothing to fill.
SELECT :jobs;
