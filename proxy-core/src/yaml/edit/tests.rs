use super::*;

fn text(value: &str) -> Field {
    Field::Text(value.into())
}

#[test]
fn one_field_changes_and_nothing_else() {
    let before =
        "# head\nspec: # s\n  hosts: # external\n  - a.com # one\n\n  resolution:   NONE  # why\n  ports: []\n";
    let after = set(before, &["spec", "resolution"], &text("DNS")).unwrap();
    assert_eq!(after, before.replace("NONE", "DNS"));
    let after = set(before, &["spec", "hosts"], &Field::Block("- b.com\n- c.com\n".into())).unwrap();
    assert_eq!(after, before.replace("- a.com", "- b.com\n  - c.com"));
}

#[test]
fn a_missing_field_is_put_behind_the_last_one_with_its_mappings() {
    let before = "spec:\n  http:\n  - route: []\n# tail\n";
    let after = set(before, &["spec", "a", "b"], &text("x y")).unwrap();
    assert_eq!(after, "spec:\n  http:\n  - route: []\n  a:\n    b: x y\n# tail\n");
}

#[test]
fn a_null_gets_its_value_behind_the_colon() {
    assert_eq!(
        set("a:\n  mode:\n", &["a", "mode"], &text("X")).unwrap(),
        "a:\n  mode: X\n"
    );
    assert_eq!(
        set("a:\nb: 1\n", &["a", "mode"], &text("X")).unwrap(),
        "a:\n  mode: X\nb: 1\n"
    );
}

#[test]
fn a_field_is_taken_away_with_its_lines() {
    let before = "a: 1\nb:\n- x\n- y # z\nc: 2\n";
    assert_eq!(set(before, &["b"], &Field::Absent).unwrap(), "a: 1\nc: 2\n");
    assert_eq!(set(before, &["d"], &Field::Absent).unwrap(), before);
}

#[test]
fn json_stays_json() {
    let before = "{\n  \"global\": {\n    \"proxy\": {\n      \"excludeIPRanges\": \"\"\n    }\n  }\n}\n";
    let path = ["global", "proxy", "excludeIPRanges"];
    let after = set(before, &path, &text("10.0.0.0/8")).unwrap();
    assert_eq!(after, before.replace("\"\"", "\"10.0.0.0/8\""));
    let path = ["global", "proxy", "includeIPRanges"];
    let after = set(before, &path, &text("*")).unwrap();
    assert!(
        after.contains("\"excludeIPRanges\": \"\",\n      \"includeIPRanges\": \"*\"\n"),
        "{after}"
    );
}

#[test]
fn a_text_inside_a_text_keeps_its_indentation() {
    let before = "data:\n  mesh: |\n    # c\n    p:\n      mode: A\n\n    q: 1\nkind: X\n";
    let after = inside(before, &["data", "mesh"], |mesh| set(mesh, &["p", "mode"], &text("B"))).unwrap();
    assert_eq!(after, before.replace("mode: A", "mode: B"));
}

#[test]
fn texts_that_mean_something_else_are_quoted() {
    for (value, written) in [
        ("a.com", "a.com"),
        ("*", "\"*\""),
        ("true", "\"true\""),
        ("12", "\"12\""),
        ("", "\"\""),
        ("*.a.com", "\"*.a.com\""),
        ("a: b", "\"a: b\""),
    ] {
        assert_eq!(quoted(value), written);
    }
}

#[test]
fn a_field_that_others_share_is_not_edited() {
    let before = "a: &x\n  k: 1\nb: *x\nc: 2\n";
    assert!(matches!(
        set(before, &["a", "k"], &text("new")),
        Err(EditError::Layout { .. })
    ));
    assert_eq!(
        set(before, &["c"], &text("new")).unwrap(),
        before.replace("c: 2", "c: new")
    );
    // The bytes of an alias' content stand elsewhere.
    assert!(matches!(
        set(before, &["b"], &text("new")),
        Err(EditError::Layout { .. })
    ));
}

/// What a tree says, without its places and its quoting.
fn meaning(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Sequence(items) => items.iter().map(meaning).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|(key, value)| (key.text().unwrap_or_default().to_string(), meaning(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Scalar(..) if node.is_null() => serde_json::Value::Null,
        Value::Scalar(text, Style::Plain) if node.as_str().is_none() => serde_json::json!({"plain": **text}),
        Value::Scalar(text, _) => (**text).into(),
    }
}

fn one(text: &str) -> serde_json::Value {
    meaning(&read(text.as_bytes()).unwrap()[0])
}

use proptest::prelude::*;

/// A manifest of the usual shapes, with comments, blank lines and odd spacing.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec!["x", "'q # q'", "\"d\"", "12", "true", "", "~", "a.b/c", "x # why"]);
    let value = (0..7usize, scalar.clone(), scalar).prop_map(|(shape, a, b)| match shape {
        0 | 1 => format!(" {a}\n"),
        2 => format!("\n    in: {a}\n    # between\n    out: {b}\n"),
        3 => format!("   # head\n  - {a}\n\n  - k: {b}\n    l: 1\n"),
        4 => " {f: x, g: \"y\"}\n".to_string(),
        5 => " [x, {y: z}] # flow\n".to_string(),
        _ => " |\n    # text\n    m: A\n\n    n: B\n".to_string(),
    });
    let top = prop::collection::vec((value, prop::bool::ANY), 1..5);
    (top, prop::bool::ANY, prop::bool::ANY).prop_map(|(fields, crlf, newline)| {
        let mut text = "# first\nroot:\n".to_string();
        for (index, (value, comment)) in fields.into_iter().enumerate() {
            text.push_str(if comment { "  # note\n\n" } else { "" });
            text.push_str(&format!("  k{index}:{value}"));
        }
        let text = if newline { text } else { text.trim_end().to_string() };
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

proptest! {
    #[test]
    fn an_edit_changes_its_field_and_no_other_line(
        before in document(),
        key in prop::sample::select(vec!["k0", "k1", "k2", "k9"]),
        below in prop::option::of(prop::sample::select(vec!["in", "f", "new"])),
        value in prop::sample::select(vec!["X", "", "true", "1", "*.a.com", "a: b", "# no", "two\nlines"]),
    ) {
        let mut path = vec!["root", key];
        path.extend(below);
        let Ok(after) = set(&before, &path, &text(value)) else { return Ok(()) };
        let mut wanted = one(&before);
        let mut place = &mut wanted;
        for step in &path {
            if place.is_null() {
                *place = serde_json::json!({});
            }
            place = &mut place[*step];
        }
        *place = value.into();
        prop_assert_eq!(one(&after), wanted, "{:?}\n->\n{:?}", before, after);
        // Lines before and behind the field are the same bytes.
        let old: Vec<_> = before.split_inclusive('\n').collect();
        let head = old.iter().take_while(|line| !line.starts_with(&format!("  {key}:"))).count();
        let head_text: String = old[..head].concat();
        prop_assert!(after.starts_with(head_text.trim_end()), "{:?}\n->\n{:?}", before, after);
        let tail = old.iter().skip(head + 1).position(|line| line.starts_with("  k")).map(|at| head + 1 + at);
        if let Some(tail) = tail {
            prop_assert!(after.ends_with(&old[tail..].concat()), "{:?}\n->\n{:?}", before, after);
        }
    }

    #[test]
    fn a_field_taken_away_and_its_neighbours_stay(
        before in document(),
        key in prop::sample::select(vec!["k0", "k1", "k2"]),
    ) {
        let Ok(after) = set(&before, &["root", key], &Field::Absent) else { return Ok(()) };
        let mut wanted = one(&before);
        wanted["root"].as_object_mut().unwrap().remove(key);
        prop_assert_eq!(one(&after), wanted, "{:?}\n->\n{:?}", before, after);
    }

    #[test]
    fn no_text_makes_an_edit_panic(before in "[-a-c:{}\\[\\],#&*!|>'\"%@` \\n\\t?\\r\u{e4}]{0,80}") {
        for field in [text("x"), Field::Absent, Field::Block("- a\n".into())] {
            let _ = set(&before, &["a"], &field);
            let _ = set(&before, &["a", "b"], &field);
            let _ = inside(&before, &["a"], |inner| Ok(format!("{inner}\nb")));
        }
    }
}
