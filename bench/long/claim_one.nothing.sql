-- What so many sessions cost the server before any of them does something.
SELECT 1;
