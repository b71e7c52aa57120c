use super::{super::resolve, *};

/// What is answered to a question for the addresses of `name`.
fn asked(name: &str, over: Over) -> Message {
    let known: KnownNames = Arc::new(|name| match name.trim_end_matches('.') {
        "one.example" => Some(vec![[240, 240, 0, 1].into()]),
        "xn--bcher-kva.example" => Some(vec![[240, 240, 0, 2].into()]),
        "many.example" => Some((1..=100).map(|last| [10, 0, 0, last].into()).collect()),
        _ => None,
    });
    let conf = ResolvConf {
        servers: Vec::new(),
        search: vec!["default.svc.cluster.local".into(), "svc.cluster.local".into()],
    };
    told(known, || Others::Servers(Arc::new(conf)), name, over)
}

fn told(known: KnownNames, others: impl FnOnce() -> Others, name: &str, over: Over) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_utf8(name).unwrap(), RecordType::A));
    let question = question.to_vec().unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let others = others();
        Answers { known, others }.answer(&question, over).await
    });
    Message::from_vec(&answer.unwrap()).unwrap()
}

/// The same of a sandbox, whose system searches `corp.example` and has a server that knows `there.example` and
/// `below.corp.example`, with this many addresses.
fn resolved(name: &str, addresses: u8, over: Over) -> Message {
    let server = resolve::tests::server(move |question| {
        let addresses: Vec<Ipv4Addr> = (1..=addresses).map(|last| [10, 0, 0, last].into()).collect();
        let mut answer = resolve::tests::answer(question, &addresses, 60);
        answer.metadata.response_code = match question.queries[0].name().to_ascii().as_str() {
            "there.example." | "below.corp.example." | "xn--bcher-kva.example." => return Some(answer),
            "fails.example." => ResponseCode::ServFail,
            _ => ResponseCode::NXDomain,
        };
        answer.answers.clear();
        Some(answer)
    });
    let others = || Others::Resolver(Arc::new(resolve::tests::asking(server, &["corp.example."])));
    told(Arc::new(|_| None), others, name, over)
}

#[test]
fn a_sandbox_is_told_what_there_is_not_apart_from_what_is_not_known() {
    let code = |name: &str, addresses: u8| {
        let answer = resolved(name, addresses, Over::Udp);
        (answer.metadata.response_code, answer.answers.len())
    };
    assert_eq!(code("there.example.", 2), (ResponseCode::NoError, 2));
    assert_eq!(code("xn--bcher-kva.example.", 1), (ResponseCode::NoError, 1));
    assert_eq!(code("there.example.", 0), (ResponseCode::NoError, 0));
    assert_eq!(code("gone.example.", 1), (ResponseCode::NXDomain, 0));
    assert_eq!(code("fails.example.", 1), (ResponseCode::ServFail, 0));
}

#[test]
fn whoever_asks_in_a_sandbox_has_searched_already() {
    assert_eq!(
        resolved("below.", 1, Over::Udp).metadata.response_code,
        ResponseCode::NXDomain
    );
}

#[test]
fn what_a_sandbox_is_told_fits_a_datagram_too() {
    let cut = resolved("there.example.", 60, Over::Udp);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(resolved("there.example.", 60, Over::Tcp).answers.len(), 60);
}

#[test]
fn an_internationalised_name_is_known_as_it_is_written() {
    for name in [
        "xn--bcher-kva.example.",
        "xn--bcher-kva.example.default.svc.cluster.local.",
    ] {
        let answer = asked(name, Over::Udp);
        let last = answer.answers.last().map(|record| record.data.to_string());
        assert_eq!(last.as_deref(), Some("240.240.0.2"), "{name}");
    }
}

#[test]
fn a_name_below_the_first_searched_domain_stands_for_the_one_that_is_known() {
    let answer = asked("One.example.default.svc.cluster.local.", Over::Udp);
    let records: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(records, ["one.example.", "240.240.0.1"]);
    // Of the other domains, and of what is not known, this server knows nothing; and nobody else is there.
    for name in [
        "one.example.svc.cluster.local.",
        "two.example.default.svc.cluster.local.",
    ] {
        assert_eq!(
            asked(name, Over::Udp).metadata.response_code,
            ResponseCode::ServFail,
            "{name}"
        );
    }
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_is_had_over_tcp() {
    let cut = asked("many.example.", Over::Udp);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(asked("many.example.", Over::Tcp).answers.len(), 100);
}
