-- The shape of the API: what every function and object of the schema has to be.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

-- Signatures are an API for every driver.
\pset format unaligned
\pset tuples_only on
SELECT format('%s(%s) -> %s', p.proname, pg_get_function_arguments(p.oid), format_type(p.prorettype, NULL))
FROM pg_proc AS p WHERE p.pronamespace = 'foreman'::regnamespace ORDER BY p.proname COLLATE "C";
\pset tuples_only off
\pset format aligned

-- Functions of the API are those that answer jsonb, and the one whose text others have defined; the others are steps inside
-- them.
CREATE TEMP VIEW api AS
SELECT p.* FROM pg_proc AS p
WHERE p.pronamespace = 'foreman'::regnamespace AND (p.prorettype = 'jsonb'::regtype OR p.proname = 'metrics');
-- None may run in a parallel worker, where no subtransaction can be opened.
SELECT proname, proparallel, provolatile FROM api WHERE proparallel <> 'u' OR provolatile <> 'v' ORDER BY proname;
SELECT proname FROM api WHERE proisstrict AND pronargs > 0 OR proretset OR prokind <> 'f' ORDER BY proname;
-- The owner's rights and a fixed search_path, pg_temp last; foreman.execute alone has the caller's.
SELECT proname, prosecdef, proconfig FROM api
WHERE (prosecdef AND proconfig @> ARRAY['search_path=pg_catalog, pg_temp']) IS NOT TRUE
ORDER BY proname;
-- No overloads; only types that a driver sends without a cast.
SELECT proname, count(*) FROM pg_proc WHERE pronamespace = 'foreman'::regnamespace GROUP BY proname HAVING count(*) > 1;
SELECT p.proname, format_type(t.type, NULL) AS type
FROM api AS p, unnest(p.proargtypes::oid[]) AS t (type)
WHERE t.type <> ALL ('{text,integer,bigint,double precision,boolean,timestamptz,jsonb,text[],bigint[]}'::regtype[]);
SELECT proname FROM api WHERE pronargs > 0 AND proargnames IS NULL;
-- options comes last.
SELECT proname FROM api WHERE 'options' = ANY (proargnames) AND proargnames[pronargs] <> 'options';

-- Nothing for PUBLIC: no function, no table, no view, no sequence, no type, no schema.
SELECT p.proname FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
WHERE p.pronamespace = 'foreman'::regnamespace AND a.grantee = 0 ORDER BY p.proname COLLATE "C";
SELECT c.relname, a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'foreman'::regnamespace AND a.grantee = 0 ORDER BY c.relname COLLATE "C";
SELECT a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'foreman' AND a.grantee = 0;

-- Every object has a comment.
SELECT 'function' AS kind, proname AS name FROM pg_proc
WHERE pronamespace = 'foreman'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
UNION ALL
SELECT 'relation', relname FROM pg_class
WHERE relnamespace = 'foreman'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND obj_description(oid, 'pg_class') IS NULL
    -- An identity column's sequence is a part of its table.
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = pg_class.oid AND d.deptype = 'i')
UNION ALL
SELECT 'type', typname FROM pg_type
WHERE typnamespace = 'foreman'::regnamespace AND typtype IN ('e', 'd') AND obj_description(oid, 'pg_type') IS NULL
UNION ALL
SELECT 'schema', nspname FROM pg_namespace WHERE nspname = 'foreman' AND obj_description(oid, 'pg_namespace') IS NULL
ORDER BY 1, 2;
-- A function's comment begins with a sentence.
SELECT proname, split_part(obj_description(oid, 'pg_proc'), E'\n', 1) AS first_line FROM api
WHERE obj_description(oid, 'pg_proc') !~ '^[A-Z][^\n]+[.:]( |\n|$)' ORDER BY proname;

-- Tables in the singular, views in the plural, each constraint named as the sentence it keeps.
SELECT relname FROM pg_class WHERE relnamespace = 'foreman'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C";
SELECT relname FROM pg_class WHERE relnamespace = 'foreman'::regnamespace AND relkind = 'v' ORDER BY relname COLLATE "C";
SELECT conrelid::regclass, conname FROM pg_constraint
WHERE connamespace = 'foreman'::regnamespace AND conname ~ '_(pkey|key|check|fkey)[0-9]*$' ORDER BY 1, 2;

-- All that holds data is in a dump, but for figures, which are counted anew.
SELECT c.relname FROM pg_class AS c, pg_extension AS e
WHERE e.extname = 'pg_foreman' AND c.relnamespace = 'foreman'::regnamespace AND c.relkind IN ('r', 'S')
    AND c.oid <> ALL (COALESCE(e.extconfig, '{}')) ORDER BY c.relname COLLATE "C";
-- Every table, also a partition, is the extension owner's alone; partitions are no members of the extension.
SELECT foreman.maintain() ->> 'status' AS status;
SELECT count(*) AS partitions, count(d.objid) AS members, count(*) FILTER (WHERE c.relacl IS NOT NULL AND EXISTS (
           SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee = 0)) AS public_ones
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
LEFT JOIN pg_depend AS d ON d.objid = c.oid AND d.deptype = 'e'
WHERE i.inhparent = 'foreman.finished_job'::regclass;
