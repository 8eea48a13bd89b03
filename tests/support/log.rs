//! The server's log, entry by entry.

/// Ends the prefix of each line, see [`PREFIX`]; rare enough in messages that a line is not taken for another.
const MARK: &str = "§";

/// `log_line_prefix`: process and database, which is how the log of a shared cluster is told apart by test.
pub(crate) const PREFIX: &str = "%p %d§";

/// One line of the log with the lines that continue it. DETAIL, STATEMENT and the like are entries of their own.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub pid: i32,
    pub database: String,
    /// `LOG`, `WARNING`, `ERROR`, `STATEMENT`, …
    pub level: String,
    pub text: String,
}

impl LogEntry {
    fn parse(line: &str) -> Option<Self> {
        let (prefix, message) = line.split_once(MARK)?;
        let (pid, database) = prefix.split_once(' ')?;
        let (level, text) = message.split_once(':')?;
        Some(Self {
            pid: pid.parse().ok()?,
            database: database.to_owned(),
            level: level.to_owned(),
            text: text.trim_start().to_owned(),
        })
    }
}

/// Splits the text of a log into its entries.
pub(crate) fn entries(log: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    for line in log.lines() {
        match (LogEntry::parse(line), entries.last_mut()) {
            (Some(entry), _) => entries.push(entry),
            (None, Some(last)) => {
                last.text.push('\n');
                last.text.push_str(line.trim_start());
            }
            // Before the first entry: what pg_ctl itself had to say.
            (None, None) => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continued_line_belongs_to_the_entry_before_it() {
        let log = "7 d1§ERROR:  no\n\tfurther\n8 d2§STATEMENT:  SELECT 1\n";
        let entries = entries(log);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].pid, entries[0].level.as_str()), (7, "ERROR"));
        assert_eq!(entries[0].text, "no\nfurther");
        assert_eq!(entries[1].database, "d2");
    }
}
