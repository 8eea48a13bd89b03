//! The doc comments of the SQL functions are their `COMMENT ON FUNCTION`: one text, kept equal here.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

/// The families, in the order of their names.
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The functions of a source file with their doc comments, each with its kind. What pgrx declares is a function.
fn documented(source: &str) -> Vec<(&'static str, String, String)> {
    let (mut found, mut doc, mut sql_kind) = (Vec::new(), String::new(), None);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            writeln!(doc, "{}", text.strip_prefix(' ').unwrap_or(text)).unwrap();
        } else if line.starts_with("#[pg_extern") {
            sql_kind = Some(if line.contains("sql = false") { "PROCEDURE" } else { "FUNCTION" });
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if let Some(kind) = sql_kind {
                let name = rest.split('(').next().unwrap();
                found.push((kind, name.to_owned(), doc.trim_end().to_owned()));
            }
            (doc, sql_kind) = (String::new(), None);
        } else if sql_kind.is_none() && !line.starts_with("#[") && !line.starts_with("//") {
            doc.clear();
        }
    }
    found
}

#[test]
fn the_comments_in_sql_are_the_doc_comments() {
    let mut sql = String::from(
        "/* sql/80_comments.sql: the functions' doc comments, written by UPDATE_COMMENTS=1 cargo test --lib */\n",
    );
    for (kind, name, doc) in sources().iter().flat_map(|source| documented(source)) {
        assert!(!doc.is_empty(), "{name} has no doc comment");
        write!(sql, "\nCOMMENT ON {kind} foreman.{name} IS\n'{}';\n", doc.replace('\'', "''")).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/80_comments.sql");
    if env::var_os("UPDATE_COMMENTS").is_some() {
        fs::write(&path, &sql).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(present == sql, "sql/80_comments.sql differs from the doc comments");
}
