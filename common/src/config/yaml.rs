//! From text to tree: drives the YAML parser and reports what is wrong with the YAML itself.
//!
//! Broken syntax ends the reading with one error. What is well formed and still wrong (a duplicate key, an alias of
//! nothing, a template without quotes) is reported and read over, so that the rest of the file is checked too.
//!
//! The events of the parser are read directly: a deserializer of the serde kind stops at the first mistake, and by then
//! the places of keys, the duplicates and the quotes are gone.
//!
//! Bounds, so that no file of reasonable size costs unreasonable work: the tree is at most [`MAX_DEPTH`] levels deep
//! (a stored definition must be readable again, and JSON readers stop at 128), and all uses of aliases together may
//! repeat at most [`MAX_EXPANSION`] nodes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::env;
use super::node::{Entry, Node, Plain, Rank, Ref, Scalar, Value};
use super::report::Report;
use super::source::Span;
use super::syntax;

/// The deepest nesting.
const MAX_DEPTH: usize = 100;
/// The most nodes that aliases may repeat.
const MAX_EXPANSION: usize = 1_000_000;

/// Reads the one document of the text. `None` if the YAML is broken; an empty document is a null node.
pub(super) fn read<'t>(report: &mut Report<'t>, env: &dyn Fn(&str) -> Option<String>) -> Option<Ref<'t>> {
    let text = report.source.text;
    let mut options = granit_parser::Options::default();
    options.emit_unresolved_aliases = true;
    let mut builder = Builder::new(report, env);
    for step in Parser::new_from_str_with_options(text, options) {
        match step {
            Ok((event, span)) => {
                let span = span.byte_range().unwrap_or(0..0);
                builder.reached = span.end;
                if builder.accept(event, span).is_break() {
                    return None;
                }
            }
            Err(error) => {
                builder.broken(&error);
                return None;
            }
        }
    }
    let end = text.len()..text.len();
    Some(builder.root.unwrap_or_else(|| Arc::new(Node::new(end, Value::Null))))
}

/// A collection that is not complete yet.
struct Frame<'t> {
    start: usize,
    anchor: usize,
    /// It has a tag, which was reported.
    tagged: bool,
    kind: Open<'t>,
}

enum Open<'t> {
    List(Vec<Ref<'t>>),
    Map {
        entries: Vec<Entry<'t>>,
        /// Where each key stands.
        seen: HashMap<Cow<'t, str>, usize>,
        key: Option<Key<'t>>,
        /// It is no map but a template without quotes, and that was reported.
        template: bool,
    },
}

/// A key whose value has not come yet.
enum Key<'t> {
    Text(Cow<'t, str>, Span),
    /// Not text, or there already: it was reported, and its value is dropped.
    Refused,
}

struct Builder<'r, 't> {
    report: &'r mut Report<'t>,
    env: &'r dyn Fn(&str) -> Option<String>,
    stack: Vec<Frame<'t>>,
    anchors: HashMap<usize, Ref<'t>>,
    expanded: usize,
    documents: usize,
    root: Option<Ref<'t>>,
    /// An alias of nothing, reported unless the parser breaks on the same line: then it is the reason.
    dangling: Vec<Span>,
    /// Where the last event ended.
    reached: usize,
}

type Flow = std::ops::ControlFlow<()>;

impl<'r, 't> Builder<'r, 't> {
    fn new(report: &'r mut Report<'t>, env: &'r dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            report,
            env,
            stack: Vec::new(),
            anchors: HashMap::new(),
            expanded: 0,
            documents: 0,
            root: None,
            dangling: Vec::new(),
            reached: 0,
        }
    }

    fn accept(&mut self, event: Event<'t>, span: Span) -> Flow {
        match event {
            Event::DocumentStart(..) => return self.document(&span),
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text, style, tag.as_deref(), span);
                self.complete(node, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                return self.open(span, anchor, tag.as_deref(), Open::List(Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                let kind = Open::Map { entries: Vec::new(), seen: HashMap::new(), key: None, template: false };
                return self.open(span, anchor, tag.as_deref(), kind);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            Event::Alias(id) => {
                let node = self.alias(id, span);
                self.complete_ref(node);
            }
            Event::UnresolvedAlias(_) => {
                self.dangling.push(span.clone());
                self.complete_ref(Arc::new(Node::new(span, Value::Invalid)));
            }
            Event::StreamEnd => self.report_dangling(),
            _ => {}
        }
        Flow::Continue(())
    }

    fn document(&mut self, span: &Span) -> Flow {
        self.documents += 1;
        if self.documents == 1 {
            return Flow::Continue(());
        }
        let help = Some("put everything into one document, or use one file for each".to_owned());
        self.report.error(span, "a config is a single YAML document, and a second one starts here", help);
        Flow::Break(())
    }

    fn open(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, kind: Open<'t>) -> Flow {
        let tagged = self.refuse_tag(tag, &span);
        if self.stack.len() >= MAX_DEPTH {
            self.report.error(&span, format!("values are nested more than {MAX_DEPTH} levels deep"), None);
            return Flow::Break(());
        }
        self.stack.push(Frame { start: span.start, anchor, tagged, kind });
        Flow::Continue(())
    }

    fn close(&mut self, end: usize) {
        let Some(frame) = self.stack.pop() else { return };
        let span = frame.start..end.max(frame.start);
        let value = match frame.kind {
            _ if frame.tagged => Value::Invalid,
            Open::Map { template: true, .. } => Value::Invalid,
            Open::List(items) => Value::List(items),
            Open::Map { entries, .. } => Value::Map(entries),
        };
        self.complete(Node::new(span, value), frame.anchor);
    }

    /// A scalar, with the environment in place if it is a value.
    fn scalar(&mut self, text: Cow<'t, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node<'t> {
        let as_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !as_text && self.refuse_tag(tag, &span) {
            return Node::new(span, Value::Invalid);
        }
        let plain = style == ScalarStyle::Plain && !as_text;
        let mut scalar = Scalar { text, plain, substituted: false };
        if !self.expects_key() && scalar.text.contains("${") {
            scalar.substituted = true;
            match env::substitute(scalar.text.clone(), self.env) {
                Ok(text) => scalar.text = text,
                Err(error) => {
                    scalar.substituted = false;
                    let node = Node::new(span, Value::Scalar(scalar));
                    let place = node.inner(self.report.source, &error.span);
                    self.report.error(&place, error.message, Some(error.help));
                    return Node::new(node.span, Value::Invalid);
                }
            }
        }
        let value = if scalar.resolve() == Plain::Null { Value::Null } else { Value::Scalar(scalar) };
        Node::new(span, value)
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        if let Some(tag) = tag {
            let help = Some("write the value without it; quotes make any value text".to_owned());
            self.report.error(span, format!("the YAML tag `{}` means nothing here", tag.original()), help);
        }
        tag.is_some()
    }

    fn alias(&mut self, id: usize, span: Span) -> Ref<'t> {
        let refuse = |report: &mut Report<'t>, message: String| {
            report.error(&span, message, None);
            Arc::new(Node::new(span.clone(), Value::Invalid))
        };
        let Some(target) = self.anchors.get(&id) else {
            return refuse(self.report, "the alias stands inside of what it repeats".to_owned());
        };
        if self.stack.len() + target.height > MAX_DEPTH {
            return refuse(self.report, format!("with this alias values are nested more than {MAX_DEPTH} levels deep"));
        }
        if self.expanded + target.weight > MAX_EXPANSION {
            return refuse(self.report, format!("aliases repeat more than {MAX_EXPANSION} values"));
        }
        self.expanded += target.weight;
        Arc::clone(target)
    }

    fn complete(&mut self, node: Node<'t>, anchor: usize) {
        let node = Arc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.complete_ref(node);
    }

    /// Puts a node where it belongs: into the list, as key or as value of the map, or at the root.
    fn complete_ref(&mut self, node: Ref<'t>) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut frame.kind {
            Open::List(items) => items.push(node),
            Open::Map { entries, key, .. } if key.is_some() => {
                if let Some(Key::Text(key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, value: node, layer: Rank::default() });
                }
            }
            Open::Map { .. } => self.key(&node),
        }
    }

    fn key(&mut self, node: &Node<'t>) {
        let Some(Frame { start, kind: Open::Map { seen, key, template, .. }, .. }) = self.stack.last_mut() else {
            return;
        };
        let text = match &node.value {
            Value::Scalar(scalar) => scalar.text.clone(),
            Value::Invalid => {
                *key = Some(Key::Refused);
                return;
            }
            _ => {
                *key = Some(Key::Refused);
                let outer = *start..node.span.end;
                *template = syntax::report_bad_key(self.report, node, &outer);
                return;
            }
        };
        if let Some(first) = seen.get(&text) {
            let line = self.report.source.line_at(*first).0 + 1;
            let help = format!("the first one is in line {line}; remove one of the two");
            *key = Some(Key::Refused);
            self.report.error(&node.span, format!("the key `{text}` is there twice"), Some(help));
            return;
        }
        seen.insert(text.clone(), node.span.start);
        *key = Some(Key::Text(text, node.span.clone()));
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { kind: Open::Map { key: None, .. }, .. }))
    }

    fn report_dangling(&mut self) {
        for span in std::mem::take(&mut self.dangling) {
            syntax::report_unknown_alias(self.report, &span);
        }
    }

    fn broken(&mut self, error: &ScanError) {
        let at = syntax::position(error, self.report.source);
        let line = self.report.source.line_at(at).0;
        let same_line = |span: &Span| self.report.source.line_at(span.start).0 == line;
        let reason = self.dangling.iter().position(same_line).map(|index| self.dangling.swap_remove(index));
        self.report_dangling();
        if !self.report.has_on_line(at) {
            syntax::report_broken(self.report, error, self.reached..at, reason);
        }
    }
}
