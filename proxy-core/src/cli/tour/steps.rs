//! The story, step by step.

use std::{fs, io, time::Duration};

use super::stage::Stage;
use crate::sites::MANIFESTS;

const HTTP_ENTRY: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: httpbin
  namespace: default
spec:
  hosts:
  - httpbin.org
  ports:
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
";

const HTTPS_ENTRY: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: google
  namespace: default
spec:
  hosts:
  - www.google.com
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  resolution: DNS
";

const TIMEOUT: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
  namespace: default
spec:
  hosts:
  - httpbin.org
  http:
  - timeout: 3s
    route:
    - destination:
        host: httpbin.org
";

/// Plays everything; what does not come out as said is counted by the stage.
pub(super) fn play(stage: &mut Stage) -> io::Result<()> {
    super::super::print(&format!(
        "A workload, its sidecar and some sites of the playground's own; nothing leaves this machine:\n  {}",
        stage.sites()
    ));
    pass_through(stage)?;
    registry_only(stage)?;
    http_entry(stage)?;
    https_entry(stage)?;
    timeout(stage)?;
    bypass(stage)?;
    clean_up(stage)
}

fn pass_through(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "1  ALLOW_ANY: unknown hosts pass",
        "Nothing in the policy names these two sites.",
    );
    for host in ["www.google.com", "edition.cnn.com"] {
        let outcome = stage.request(&format!("https://{host}/"))?;
        stage.expect(&format!("{host} answers 200"), outcome.status == Some(200));
        let line = stage.log_line("PassthroughCluster");
        stage.expect("the log says PassthroughCluster", line.is_some());
    }
    Ok(())
}

fn registry_only(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "2  REGISTRY_ONLY: what nothing registers is blocked",
        "HTTPS is cut; HTTP is answered 502 where the port speaks HTTP.",
    );
    stage.edit("mesh.yaml", "      mode: ALLOW_ANY", "      mode: REGISTRY_ONLY")?;
    let outcome = stage.until("https://www.google.com/", |outcome| outcome.exit == 35)?;
    stage.expect("HTTPS ends with curl exit 35", outcome.exit == 35);
    let line = stage.log_line("BlackHoleCluster");
    stage.expect(
        "the log says UH and BlackHoleCluster",
        line.is_some_and(|line| line.contains(" 0 UH ")),
    );
    let outcome = stage.request("http://httpbin.org/headers")?;
    stage.expect("HTTP is answered 502", outcome.status == Some(502));
    let line = stage.log_line("block_all");
    stage.expect(
        "the log names the host",
        line.is_some_and(|line| line.contains("\"httpbin.org\"")),
    );
    Ok(())
}

fn http_entry(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "3  A ServiceEntry for HTTP",
        "The host is registered, so it is served, and the site sees which rule let it through.",
    );
    stage.add("httpbin.yaml", HTTP_ENTRY)?;
    let outcome = stage.until("http://httpbin.org/headers", |outcome| outcome.status == Some(200))?;
    stage.expect("httpbin.org answers 200", outcome.status == Some(200));
    let operation = "\"X-Envoy-Decorator-Operation\": \"httpbin.org:80/*\"";
    stage.expect(&format!("the site saw {operation}"), outcome.output.contains(operation));
    let line = stage.log_line("outbound|80||httpbin.org");
    stage.expect("the log names the entry's cluster", line.is_some());
    Ok(())
}

fn https_entry(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "4  A ServiceEntry for HTTPS",
        "TLS passes by its server name; nothing inside is seen.",
    );
    stage.add("google.yaml", HTTPS_ENTRY)?;
    let outcome = stage.until("https://www.google.com/", |outcome| outcome.status == Some(200))?;
    stage.expect("www.google.com answers 200", outcome.status == Some(200));
    let line = stage.log_line("outbound|443||www.google.com");
    let named = line.as_deref().is_some_and(|line| line.ends_with(" www.google.com -"));
    stage.expect(
        "the log has the server name and the bytes",
        named && line.is_some_and(|line| !line.contains(" 0 0 ")),
    );
    Ok(())
}

fn timeout(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "5  A timeout of 3 s",
        "The site takes five seconds; the sidecar does not wait that long.",
    );
    stage.add("httpbin-timeout.yaml", TIMEOUT)?;
    let outcome = stage.until("http://httpbin.org/delay/5", |outcome| outcome.status == Some(504))?;
    stage.expect("/delay/5 is answered 504", outcome.status == Some(504));
    let seconds = outcome.took.as_secs_f32();
    let in_time = outcome.took >= Duration::from_millis(2900) && outcome.took < Duration::from_millis(4500);
    stage.expect(&format!("after 3 s (it took {seconds:.1} s)"), in_time);
    let line = stage.log_line("response_timeout");
    stage.expect(
        "the log says UT response_timeout",
        line.is_some_and(|line| line.contains(" 504 UT response_timeout ")),
    );
    Ok(())
}

fn bypass(stage: &mut Stage) -> io::Result<()> {
    stage.step(
        "6  An excluded range bypasses the sidecar",
        "It goes straight, whatever the policy says, and the sidecar never sees it.",
    );
    stage.edit(
        "injector.yaml",
        "\"excludeIPRanges\": \"\"",
        "\"excludeIPRanges\": \"198.18.0.30/32\"",
    )?;
    let before = stage.bypassed();
    let outcome = stage.until("https://edition.cnn.com/", |outcome| outcome.status == Some(200))?;
    stage.expect(
        "edition.cnn.com, registered nowhere, answers 200",
        outcome.status == Some(200),
    );
    if stage.counts_bypassed() {
        let counted = stage.bypassed_more_than(before);
        stage.expect("it is counted as Bypassed", counted);
    }
    let logged = stage.log_lines();
    stage.request("https://edition.cnn.com/")?;
    std::thread::sleep(Duration::from_millis(200));
    stage.expect(
        "another request leaves the sidecar's log as it was",
        stage.log_lines() == logged,
    );
    Ok(())
}

fn clean_up(stage: &mut Stage) -> io::Result<()> {
    stage.step("7  Clean up", "The folder is what it was, byte for byte.");
    for file in ["httpbin.yaml", "google.yaml", "httpbin-timeout.yaml"] {
        fs::remove_file(stage.files.policy.join(file))?;
    }
    stage.edit(
        "injector.yaml",
        "\"excludeIPRanges\": \"198.18.0.30/32\"",
        "\"excludeIPRanges\": \"\"",
    )?;
    stage.edit("mesh.yaml", "      mode: REGISTRY_ONLY", "      mode: ALLOW_ANY")?;
    let mut same = fs::read_dir(&stage.files.policy)?.count() == MANIFESTS.len();
    for (name, text) in MANIFESTS {
        same &= fs::read_to_string(stage.files.policy.join(name))? == text;
    }
    stage.expect("every file is as it was", same);
    let outcome = stage.until("https://edition.cnn.com/", |outcome| outcome.status == Some(200))?;
    let line = stage.log_line("PassthroughCluster");
    stage.expect(
        "and unknown hosts pass again",
        outcome.status == Some(200) && line.is_some(),
    );
    Ok(())
}
