use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde_json::Value;
use stylobate_core::{ActorKind, Outcome};

use crate::AuditRecord;

/// The columns of the export. The first five are those that existing consumers read by position.
const COLUMNS: [&str; 15] = [
    "timestamp",
    "user",
    "action",
    "resource",
    "detail",
    "id",
    "actor_type",
    "entity_type",
    "entity_id",
    "outcome",
    "ip_address",
    "user_agent",
    "request_id",
    "session_id",
    "changes",
];

/// The header line of the export.
#[must_use]
pub fn csv_header() -> Vec<u8> {
    lines(std::iter::once(COLUMNS.map(str::to_owned)))
}

/// One line per record, in RFC 4180 form with CRLF.
///
/// Every cell is inert in a spreadsheet (see [`inert_cell`]). `resource` is `type/id`; `detail` is the outcome, the
/// names of the fields that changed and the further facts in one sentence for people; `changes` is the JSON.
#[must_use]
pub fn csv_rows<'a>(records: impl IntoIterator<Item = &'a AuditRecord>) -> Vec<u8> {
    lines(records.into_iter().map(cells))
}

fn lines(rows: impl Iterator<Item = [String; COLUMNS.len()]>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        // Writing rows of one length into memory cannot fail.
        let _ = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

fn cells(record: &AuditRecord) -> [String; COLUMNS.len()] {
    let actor_type = actor_kind_word(record.actor_type);
    let resource = match &record.entity_id {
        Some(id) => format!("{}/{id}", record.entity_type),
        None => record.entity_type.clone(),
    };
    [
        record.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        record.actor_id.clone().unwrap_or_else(|| actor_type.to_owned()),
        record.action.clone(),
        resource,
        detail(record),
        record.id.to_string(),
        actor_type.to_owned(),
        record.entity_type.clone(),
        record.entity_id.clone().unwrap_or_default(),
        outcome_word(record.outcome).to_owned(),
        optional(record.ip_address.as_ref()),
        record.user_agent.clone().unwrap_or_default(),
        optional(record.request_id.as_ref()),
        optional(record.session_id.as_ref()),
        optional(record.changes.as_ref()),
    ]
    .map(|cell| inert_cell(&cell))
}

fn optional(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn detail(record: &AuditRecord) -> String {
    let mut detail = outcome_word(record.outcome).to_owned();
    if let Some(Value::Object(changes)) = &record.changes {
        let names: Vec<&str> = changes.keys().map(String::as_str).collect();
        let _ = write!(detail, "; changed {}", names.join(", "));
    }
    if let Some(Value::Object(facts)) = &record.metadata {
        for (name, fact) in facts {
            let _ = match fact {
                Value::String(text) => write!(detail, "; {name}: {text}"),
                other => write!(detail, "; {name}: {other}"),
            };
        }
    }
    detail
}

/// The word a kind of actor is stored and filtered by.
pub(crate) fn actor_kind_word(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::System => "system",
        ActorKind::User => "user",
        ActorKind::ApiKey => "api_key",
        ActorKind::Service => "service",
        ActorKind::Anonymous => "anonymous",
    }
}

/// The word an outcome is stored and filtered by.
pub(crate) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Denied => "denied",
    }
}

/// `text` as a cell that no spreadsheet takes for a formula and no terminal for a command.
///
/// 1. A cell whose first visible character is `=`, `+`, `-` or `@`, also in its full-width or small form, or that
///    begins with a tab, carriage return or line feed, gets a `'` in front: spreadsheets read it as "this is text".
///    Blanks, invisible and control characters before that character do not hide it.
/// 2. Control characters and the marks that reverse the direction of text are written as escapes (`\n`, `\u{7}`),
///    so that a record is one line and shows what it holds.
#[must_use]
pub fn inert_cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 1);
    if is_live(text) {
        cell.push('\'');
    }
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            cell.extend(character.escape_default());
        } else {
            cell.push(character);
        }
    }
    cell
}

fn is_live(text: &str) -> bool {
    if text.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c));
    first.starts_with([
        '=', '+', '-', '@', // as typed
        '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', // full-width
        '\u{fe66}', '\u{fe62}', '\u{fe63}', '\u{fe6b}', // small forms
        '\u{2212}', // the minus sign
    ])
}

/// Zero-width characters, direction marks and the byte order mark.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use serde_json::json;
    use stylobate_core::AuditEventId;

    use super::*;

    fn record(actor: &str) -> AuditRecord {
        let now = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
        AuditRecord {
            id: AuditEventId::new(now),
            occurred_at: now,
            actor_type: ActorKind::User,
            actor_id: Some(actor.to_owned()),
            action: "role.update".into(),
            entity_type: "role".into(),
            entity_id: Some("7".into()),
            is_success: true,
            outcome: Outcome::Success,
            ip_address: Some("192.0.2.7".parse().unwrap()),
            user_agent: None,
            request_id: None,
            session_id: None,
            changes: Some(json!({ "name": { "before": "a", "after": "b,\"c\"" } })),
            metadata: Some(json!({ "reason": "spring cleaning" })),
        }
    }

    fn parse(bytes: &[u8]) -> Vec<Vec<String>> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes)
            .into_records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn the_first_five_columns_are_those_consumers_know() {
        let header = String::from_utf8(csv_header()).unwrap();
        assert!(header.starts_with("timestamp,user,action,resource,detail,"), "{header}");
        assert!(header.ends_with("\r\n"));
    }

    #[test]
    fn a_record_reads_back_by_rfc_4180() {
        let rows = parse(&csv_rows([&record("ada")]));
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0][..5],
            [
                "2023-11-14T22:13:20.123456Z",
                "ada",
                "role.update",
                "role/7",
                "success; changed name; reason: spring cleaning"
            ]
        );
        let changes: serde_json::Value = serde_json::from_str(&rows[0][14]).unwrap();
        assert_eq!(changes, serde_json::json!({ "name": { "before": "a", "after": "b,\"c\"" } }));
        assert_eq!(rows[0].len(), COLUMNS.len());
    }

    // A23, C38
    #[test]
    fn no_cell_of_the_formula_corpus_is_live() {
        for payload in [
            "=1+1",
            "=cmd|' /C calc'!A0",
            "=HYPERLINK(\"http://example.org\",\"x\")",
            "+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\u{200b}@x",
            "\u{7}=1",
            "＝1+1",
            "＋1",
            "－1",
            "＠x",
            "﹦1",
            "−1",
            "%0A-3+3+cmd|' /C calc'!D2",
            "\"=1+1\"",
            "';=1",
        ] {
            let rows = parse(&csv_rows([&record(payload)]));
            assert_eq!(rows.len(), 1, "{payload:?} stays one line");
            for cell in &rows[0] {
                assert!(!is_live(cell), "{payload:?} became {cell:?}");
                assert!(!cell.chars().any(char::is_control), "{cell:?}");
            }
        }
    }

    #[test]
    fn harmless_cells_are_left_alone() {
        for text in ["", "ada", "a=b", "1-2", "'quoted", "ada@example.org", "Jürgen, \"J\""] {
            assert_eq!(inert_cell(text), text);
        }
    }

    #[test]
    fn control_characters_are_shown_as_escapes() {
        assert_eq!(inert_cell("a\nb\u{1b}[31m\u{202e}c"), "a\\nb\\u{1b}[31m\\u{202e}c");
        assert_eq!(inert_cell("\t=1"), "'\\t=1");
    }

    proptest! {
        // C38
        #[test]
        fn any_text_becomes_one_inert_cell(text in any::<String>()) {
            let rows = parse(&csv_rows([&record(&text)]));
            prop_assert_eq!(rows.len(), 1);
            prop_assert!(!is_live(&rows[0][1]));
            prop_assert_eq!(&rows[0][1], &inert_cell(&text));
        }
    }
}
