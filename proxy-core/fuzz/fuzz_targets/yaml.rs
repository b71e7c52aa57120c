//! Bytes -> YAML -> value -> text: what can be read can be written, and means the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_core::yaml;

fuzz_target!(|bytes: &[u8]| {
    for document in yaml::read(bytes).unwrap_or_default() {
        let value = document.to_json();
        let text = yaml::write(&value);
        let again = yaml::read(text.as_bytes()).expect("what is written can be read");
        let again = again.first().map(yaml::Node::to_json).unwrap_or_default();
        assert_eq!(again, value, "{text}");
    }
});
