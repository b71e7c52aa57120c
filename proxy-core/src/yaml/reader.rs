//! Reads a text of one or more documents into trees.

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks};

use super::{Node, Span, Style, Value};

/// Largest file that is read. Kubernetes objects end at 1.5 MiB; folders with thousands of objects in one file stay
/// well below this.
pub const MAX_BYTES: usize = 32 << 20;

/// Deepest nesting: far beyond any manifest, far below what exhausts the stack.
const MAX_DEPTH: usize = 64;

/// Most nodes that aliases may copy: stops a file of a few lines from growing to gigabytes.
const MAX_ALIASED_NODES: usize = 100_000;

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Reads all documents of `bytes`; empty documents are left out.
pub fn read(bytes: &[u8]) -> Result<Vec<Node>, YamlError> {
    let mut documents = Vec::new();
    each(bytes, |document| documents.push(document))?;
    Ok(documents)
}

/// Gives `take` one document of `bytes` after the other, so that no more than one tree is held: trees are many times
/// larger than their text. What was taken before an error is to be thrown away.
pub fn each(bytes: &[u8], take: impl FnMut(Node)) -> Result<(), YamlError> {
    if bytes.len() > MAX_BYTES {
        return Err(YamlError {
            line: 1,
            column: 1,
            message: format!(
                "the file has more than the {} MiB that are read; split it",
                MAX_BYTES >> 20
            ),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Reader::new(text).documents(take)
}

fn not_utf8(bytes: &[u8], at: usize) -> YamlError {
    let line_start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let column = String::from_utf8_lossy(&bytes[line_start..at]).chars().count() + 1;
    YamlError {
        line: 1 + bytes[..at].iter().filter(|b| **b == b'\n').count() as u32,
        column: column as u32,
        message: format!("byte 0x{:02x} is not UTF-8; save the file as UTF-8", bytes[at]),
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    offsets: Offsets,
    anchors: std::collections::HashMap<usize, Node>,
    aliased: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            offsets: Offsets::new(text),
            anchors: Default::default(),
            aliased: 0,
        }
    }

    fn documents(mut self, mut take: impl FnMut(Node)) -> Result<(), YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (event, marks) => {
                    let node = self.node(event, marks, 0)?;
                    self.anchors.clear();
                    if !node.is_null() {
                        take(node);
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Marks), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line() as u32,
                column: error.marker().col() as u32 + 1,
                message: error.info().to_string(),
            }),
            None => Ok((Event::StreamEnd, Marks::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, marks: Marks, depth: usize) -> Result<Node, YamlError> {
        let mut span = self.span(marks);
        if depth > MAX_DEPTH {
            return Err(error_at(span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                (Value::Scalar(text.into(), style), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => {
                            span.end = self.offsets.byte(end.end.index()).max(span.end);
                            break;
                        }
                        (Event::StreamEnd, _) => return Err(error_at(span, "the list is not closed".into())),
                        (event, marks) => items.push(self.node(event, marks, depth + 1)?),
                    }
                }
                (Value::Sequence(items), anchor)
            }
            Event::MappingStart(anchor, _) => {
                let entries = self.entries(&mut span, depth)?;
                (Value::Mapping(entries), anchor)
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| error_at(span, "this alias names no anchor before it".into()))?;
                self.aliased += count(&node);
                if self.aliased > MAX_ALIASED_NODES {
                    return Err(error_at(
                        span,
                        "aliases expand to too much; write the values out".into(),
                    ));
                }
                (node.value, 0)
            }
            _ => return Err(error_at(span, "a value was expected here".into())),
        };
        let node = Node { span, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self, span: &mut Span, depth: usize) -> Result<Vec<(Node, Node)>, YamlError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, end) => {
                    span.end = self.offsets.byte(end.end.index()).max(span.end);
                    return Ok(entries);
                }
                (Event::StreamEnd, _) => return Err(error_at(*span, "the mapping is not closed".into())),
                (event, marks) => {
                    let key = self.node(event, marks, depth + 1)?;
                    let (event, marks) = self.next()?;
                    let value = self.node(event, marks, depth + 1)?;
                    match key.text() {
                        None => return Err(error_at(key.span, "a key must be a text".into())),
                        Some("<<") if matches!(key.value, Value::Scalar(_, Style::Plain)) => {
                            return Err(error_at(
                                key.span,
                                "merge keys are not read; write the fields out".into(),
                            ));
                        }
                        Some(name) if entries.iter().any(|(k, _)| k.text() == Some(name)) => {
                            return Err(error_at(
                                key.span,
                                format!("the key {name:?} stands twice in this mapping"),
                            ));
                        }
                        Some(_) => entries.push((key, value)),
                    }
                }
            }
        }
    }

    fn span(&self, marks: Marks) -> Span {
        Span {
            line: marks.start.line() as u32,
            column: marks.start.col() as u32 + 1,
            start: self.offsets.byte(marks.start.index()),
            end: self.offsets.byte(marks.end.index()),
        }
    }
}

fn error_at(span: Span, message: String) -> YamlError {
    YamlError {
        line: span.line,
        column: span.column,
        message,
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(..) => 0,
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, value)| 1 + count(value)).sum(),
    }
}

/// The parser counts characters, edits need bytes. For ASCII, which nearly every manifest is, the two are the same.
struct Offsets(Option<Vec<u32>>, usize);

impl Offsets {
    fn new(text: &str) -> Self {
        let table = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i as u32).collect());
        Self(table, text.len())
    }

    fn byte(&self, character: usize) -> usize {
        match &self.0 {
            None => character.min(self.1),
            Some(table) => table.get(character).map_or(self.1, |byte| *byte as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_know_line_column_and_bytes() {
        let text = "a: 1\nä:\n  - x: 'y'\n---\nb: |\n  one\n  two\n";
        let documents = read(text.as_bytes()).unwrap();
        assert_eq!(documents.len(), 2);
        let x = documents[0].get("ä").unwrap().items()[0].get("x").unwrap();
        assert_eq!((x.span.line, x.span.column), (3, 8));
        assert_eq!(&text[x.span.start..x.span.end], "'y'");
        let b = documents[1].get("b").unwrap();
        assert_eq!(b.text(), Some("one\ntwo\n"));
        assert_eq!(b.span.line, 6, "a block scalar starts at its first line of content");
        assert_eq!(&text[b.span.start..b.span.end], "one\n  two\n");
    }

    #[test]
    fn a_broken_text_names_its_place() {
        for (text, line) in [
            ("a: [1, 2\nb: 3\n", 2),
            ("a: 1\n  b: 2\n", 2),
            ("a: 1\na: 2\n", 2),
            ("k: &a [*a]\n", 1),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
        let error = read(b"a: 1\nb: \xff\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 4));
    }

    #[test]
    fn json_is_yaml() {
        let documents = read(br#"{"kind": "List", "items": [{"a": "1", "b": 2, "c": null}]}"#).unwrap();
        let item = &documents[0].get("items").unwrap().items()[0];
        assert_eq!(item.get("a").unwrap().as_str(), Some("1"));
        assert_eq!(item.get("b").unwrap().as_integer(), Some(2));
        assert!(item.get("c").unwrap().is_null());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(read(text.as_bytes()).unwrap_err().message.contains("aliases"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-a-c:{}\\[\\],#&*!|>'\"%@` \n\t?]{0,200}") {
            let _ = read(text.as_bytes());
        }
    }
}
