//! SQL texts of the log: what kind of statement one is, and whether it names our table.
//!
//! With row format the log holds SQL only for the bounds of transactions and for definitions (DDL). It
//! is not parsed: a definition that *names* the table makes us read its columns again, which does no
//! harm if it changed nothing. So a statement too new for any parser cannot stop the stream.
//!
//! Comments are left out, `/*!50032 ... */` is read as if it stood outside one, and MariaDB's
//! `SET STATEMENT ... FOR` is passed over.

/// What a statement is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    Commit,
    Rollback,
    /// `XA START`: begins a transaction that XA_PREPARE ends.
    XaStart,
    /// Of no meaning here: savepoints (the log has only what survived them), `XA END`, the outcome of
    /// a two-phase transaction, rights, temporary tables, MariaDB's `# Dummy event`.
    Nothing,
    /// Changes rows in statement format.
    Change,
    /// Defines or alters something.
    Definition,
    /// Empties a table without logging its rows.
    Truncate,
}

/// Which table is ours, as names are written in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) database: String,
    pub(super) table: String,
    /// Whether the server compares names without regard to case (`lower_case_table_names` > 0).
    pub(super) ignore_case: bool,
}

impl TableName {
    fn same(&self, ours: &str, other: &str) -> bool {
        ours == other || (self.ignore_case && ours.to_lowercase() == other.to_lowercase())
    }

    /// Whether this is the name of our table.
    pub(super) fn is(&self, database: &str, table: &str) -> bool {
        self.same(&self.database, database) && self.same(&self.table, table)
    }

    /// Whether `text`, run with `default` as the database, names our table, or our database in a
    /// statement about databases.
    pub(super) fn is_named_in(&self, text: &str, default: &str) -> bool {
        let tokens = tokens(text);
        let of_databases = matches!(&tokens[..], [_, Token::Word(second), ..]
            if ["DATABASE", "SCHEMA"].contains(&second.to_uppercase().as_str()));
        if of_databases {
            return tokens
                .iter()
                .any(|token| token.name().is_some_and(|name| self.same(&self.database, name)));
        }
        tokens.iter().enumerate().any(|(index, token)| {
            let named = token.name().is_some_and(|name| self.same(&self.table, name));
            let before = index.checked_sub(1).map(|index| &tokens[index]);
            let database = match before {
                Some(Token::Dot) => index.checked_sub(2).and_then(|index| tokens[index].name()),
                _ => Some(default),
            };
            named && database.is_some_and(|name| self.same(&self.database, name))
        })
    }
}

/// What kind of statement `text` is.
pub(super) fn kind(text: &str) -> Statement {
    let words: Vec<String> = tokens(text)
        .into_iter()
        .take(4)
        .map(|token| match token {
            Token::Word(word) => word.to_uppercase(),
            Token::Quoted(_) | Token::Text | Token::Dot | Token::Other => String::new(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["BEGIN", ..] | ["START", ..] => Statement::Begin,
        ["COMMIT", ..] => Statement::Commit,
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", _, "TO", ..] => Statement::Nothing,
        ["ROLLBACK", ..] => Statement::Rollback,
        ["XA", "START" | "BEGIN", ..] => Statement::XaStart,
        ["CREATE" | "DROP", "TEMPORARY", ..] | ["CREATE", "OR", "REPLACE", "TEMPORARY"] => {
            Statement::Nothing
        }
        ["TRUNCATE", ..] => Statement::Truncate,
        ["CREATE" | "ALTER" | "DROP" | "RENAME", ..] => Statement::Definition,
        ["INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "SELECT" | "CALL", ..] => {
            Statement::Change
        }
        _ => Statement::Nothing,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word, or a name in backticks.
    Word(String),
    /// In double quotes: a text, or a name where the session had ANSI_QUOTES.
    Quoted(String),
    Text,
    Dot,
    Other,
}

impl Token {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Text | Self::Dot | Self::Other => None,
        }
    }
}

/// The tokens of a statement, without what stands before the `FOR` of a `SET STATEMENT`.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(token) = next(&mut rest) {
        tokens.push(token);
    }
    let is = |token: &Token, word: &str| matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word));
    if let [first, second, ..] = &tokens[..]
        && is(first, "SET")
        && is(second, "STATEMENT")
        && let Some(end) = tokens.iter().position(|token| is(token, "FOR"))
    {
        tokens.drain(..=end);
    }
    tokens
}

/// Takes the next token off the front.
fn next(rest: &mut &str) -> Option<Token> {
    skip_blanks(rest);
    let first = rest.chars().next()?;
    match first {
        '`' => Some(Token::Word(quoted(rest, '`'))),
        '"' => Some(Token::Quoted(quoted(rest, '"'))),
        '\'' => {
            quoted(rest, '\'');
            Some(Token::Text)
        }
        _ if is_word(first) => {
            let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
            *rest = after;
            Some(Token::Word(word.to_owned()))
        }
        _ => {
            *rest = rest.strip_prefix(first).unwrap_or_default();
            Some(if first == '.' { Token::Dot } else { Token::Other })
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// Passes over blanks, comments, and the marks of comments that are executed.
fn skip_blanks(rest: &mut &str) {
    loop {
        let trimmed = rest.trim_start();
        let after = if trimmed.starts_with("-- ") || trimmed.starts_with('#') {
            trimmed.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(inside) =
            trimmed.strip_prefix("/*!").or_else(|| trimmed.strip_prefix("/*M!"))
        {
            inside.trim_start_matches(|c: char| c.is_ascii_digit())
        } else if let Some(inside) = trimmed.strip_prefix("/*") {
            inside.split_once("*/").map_or("", |(_, after)| after)
        } else if let Some(after) = trimmed.strip_prefix("*/") {
            after
        } else {
            *rest = trimmed;
            return;
        };
        *rest = after;
    }
}

/// Takes a quoted text off the front and gives its inside. A doubled quote stands for one, and outside
/// of backticks a backslash takes the next character with it.
fn quoted(rest: &mut &str, quote: char) -> String {
    let mut inside = String::new();
    let mut characters = rest.chars();
    characters.next();
    while let Some(character) = characters.next() {
        if character == '\\' && quote != '`' {
            inside.extend(characters.next());
        } else if character != quote {
            inside.push(character);
        } else if let Some(after) = characters.as_str().strip_prefix(quote) {
            inside.push(quote);
            characters = after.chars();
        } else {
            break;
        }
    }
    *rest = characters.as_str();
    inside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_are_told_apart() {
        for (text, expected) in [
            ("BEGIN", Statement::Begin),
            ("commit", Statement::Commit),
            ("ROLLBACK", Statement::Rollback),
            ("ROLLBACK TO `s1`", Statement::Nothing),
            ("ROLLBACK WORK TO SAVEPOINT s1", Statement::Nothing),
            ("SAVEPOINT `s1`", Statement::Nothing),
            ("XA START X'31',X'',1", Statement::XaStart),
            ("XA END X'31',X'',1", Statement::Nothing),
            ("XA COMMIT X'31',X'',1", Statement::Nothing),
            ("# Dummy event replacing event type 160", Statement::Nothing),
            ("", Statement::Nothing),
            ("GRANT ALL ON *.* TO t", Statement::Nothing),
            ("/* why */ alter table t add c int", Statement::Definition),
            ("/*!50032 DROP TABLE */ t", Statement::Definition),
            ("-- a\n# b\nRENAME TABLE t TO u", Statement::Definition),
            ("SET STATEMENT max_statement_time=1 FOR CREATE TABLE t(a int)", Statement::Definition),
            ("DROP TEMPORARY TABLE IF EXISTS `d`.`t`", Statement::Nothing),
            ("CREATE OR REPLACE TEMPORARY TABLE t(a int)", Statement::Nothing),
            ("TRUNCATE TABLE t", Statement::Truncate),
            ("insert into t values (1)", Statement::Change),
            ("LOAD DATA INFILE 'x' INTO TABLE t", Statement::Change),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    fn ours(ignore_case: bool) -> TableName {
        TableName { database: "gmall_config".into(), table: "table_process".into(), ignore_case }
    }

    #[test]
    fn our_table_is_found_by_its_name() {
        for (text, default, expected) in [
            ("ALTER TABLE table_process ADD c int", "gmall_config", true),
            ("ALTER TABLE table_process ADD c int", "other", false),
            ("ALTER TABLE gmall_config.table_process ADD c int", "other", true),
            ("ALTER TABLE `gmall_config`.`table_process` ADD c int", "", true),
            ("ALTER TABLE other.table_process ADD c int", "gmall_config", false),
            ("ALTER TABLE table_process2 ADD c int", "gmall_config", false),
            ("ALTER TABLE Table_Process ADD c int", "gmall_config", false),
            ("ALTER TABLE \"table_process\" ADD c int", "gmall_config", true),
            ("RENAME TABLE a TO b, gmall_config.table_process TO c", "other", true),
            ("insert into t values ('table_process')", "gmall_config", false),
            ("insert into t values ('it''s \\' table_process')", "gmall_config", false),
            ("ALTER /*!50032 TABLE*/ table_process /* x */ ADD c int", "gmall_config", true),
            ("ALTER TABLE t ADD c int /* table_process */", "gmall_config", false),
            ("DROP DATABASE gmall_config", "other", true),
            ("CREATE DATABASE IF NOT EXISTS `gmall`", "gmall_config", false),
        ] {
            assert_eq!(ours(false).is_named_in(text, default), expected, "{text} in {default}");
        }
        assert!(ours(true).is_named_in("ALTER TABLE Table_Process ADD c int", "GMALL_config"));
        assert!(ours(false).is("gmall_config", "table_process"));
        assert!(!ours(false).is("gmall_config", "Table_process"));
        assert!(ours(true).is("Gmall_config", "Table_process"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-'\"`\\\\a/*!# .\n中]{0,40}") {
            kind(&text);
            ours(true).is_named_in(&text, "a");
        }
    }
}
