//! Results as JUnit XML, the form that CI servers read: a suite a file, a test case a case; a file that cannot be run is
//! one test case in error. Form: <https://github.com/testmoapp/junitxml>. No times: deciding takes none worth telling.

use std::fmt::Write;

use super::FileResult;

/// The report on `files`.
pub fn report(files: &[FileResult]) -> String {
    let count = |of: fn(&FileResult) -> usize| files.iter().map(of).sum::<usize>();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"egret-proxy test\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        count(tests),
        count(FileResult::failures),
        count(errors)
    );
    for file in files {
        suite(&mut xml, file);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn errors(file: &FileResult) -> usize {
    usize::from(file.error.is_some())
}

fn tests(file: &FileResult) -> usize {
    file.cases.len() + errors(file)
}

fn suite(xml: &mut String, file: &FileResult) {
    let name = escaped(&file.file);
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
        tests(file),
        file.failures(),
        errors(file)
    );
    if let Some(error) = &file.error {
        let _ = writeln!(
            xml,
            "    <testcase classname=\"{name}\" name=\"the file can be run\" file=\"{name}\"><error message=\"{}\"/></testcase>",
            escaped(error)
        );
    }
    for case in &file.cases {
        let _ = write!(
            xml,
            "    <testcase classname=\"{name}\" name=\"{}\" file=\"{name}\" line=\"{}\"",
            escaped(&case.name),
            case.line
        );
        if case.passed {
            xml.push_str("/>\n");
            continue;
        }
        let fields: Vec<_> = case.differences.iter().map(|(field, ..)| field.as_str()).collect();
        let _ = writeln!(
            xml,
            "><failure message=\"{} came out otherwise\" type=\"decision\">{}</failure></testcase>",
            escaped(&fields.join(", ")),
            escaped(&case.failure())
        );
    }
    xml.push_str("  </testsuite>\n");
}

/// `text` as XML 1.0 takes it in attributes and elements. Control characters are not allowed even as references.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}
