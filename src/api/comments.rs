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

/// The functions of a source file with their doc comments.
fn documented(source: &str) -> Vec<(String, String)> {
    let (mut found, mut doc, mut is_sql) = (Vec::new(), String::new(), false);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            writeln!(doc, "{}", text.strip_prefix(' ').unwrap_or(text)).unwrap();
        } else if line.starts_with("#[pg_extern") {
            is_sql = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if is_sql {
                let name = rest.split('(').next().unwrap();
                found.push((name.to_owned(), doc.trim_end().to_owned()));
            }
            (doc, is_sql) = (String::new(), false);
        } else if !is_sql && !line.starts_with("#[") && !line.starts_with("//") {
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
    for (name, doc) in sources().iter().flat_map(|source| documented(source)) {
        assert!(!doc.is_empty(), "{name} has no doc comment");
        write!(sql, "\nCOMMENT ON FUNCTION foreman.{name} IS\n'{}';\n", doc.replace('\'', "''")).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/80_comments.sql");
    if env::var_os("UPDATE_COMMENTS").is_some() {
        fs::write(&path, &sql).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(present == sql, "sql/80_comments.sql differs from the doc comments");
}
