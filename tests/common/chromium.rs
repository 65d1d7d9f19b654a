//! A small client of the DevTools protocol: a page in Debian's `chromium`, as a reader has it.
//!
//! The browser talks over two pipes (`--remote-debugging-pipe`): descriptors 3 and 4, which a shell makes of its standard
//! input and output. No port, no library, and no network: whatever the page asks for is noted.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What Chromium asks the world for by itself is switched off. No sandbox: tests run as root.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe";

/// A browser with one page. It ends with this.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    id: u64,
    /// Errors that the page logged or threw.
    pub errors: Vec<String>,
    /// Whatever it asked for: the page itself is the only one.
    pub requests: Vec<String>,
}

impl Browser {
    /// Starts it; `profile` is a folder of its own.
    pub fn new(profile: &Path) -> Browser {
        let shell =
            format!("exec chromium {FLAGS} --user-data-dir=\"$1\" about:blank 3<&0 4>&1 0</dev/null 1>/dev/null");
        let mut child = Command::new("sh")
            .args(["-c", &shell, "sh"])
            .arg(profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        let (errors, requests) = (Vec::new(), Vec::new());
        let mut browser = Browser { child, to, from, session: String::new(), id: 0, errors, requests };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = text(&browser.call("Target.attachToTarget", attach)["sessionId"]);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Asks, and waits for the answer; what happens meanwhile is noted.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let mut request = json!({ "id": self.id, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{request}\0").as_bytes()).expect("the browser listens");
        loop {
            let message = self.message();
            if message["id"] == self.id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("the browser talks");
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.errors.push(params["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.errors.push(params["args"].to_string())
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.errors.push(params["entry"].to_string())
            }
            Some("Network.requestWillBeSent") => self.requests.push(text(&params["request"]["url"])),
            _ => {}
        }
        message
    }

    /// Opens a page and waits until it is there.
    pub fn open(&mut self, url: &str) {
        // From a blank page, so that another step in the address is another page.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.requests.clear();
        self.call("Page.navigate", json!({ "url": url }));
        while self.eval("document.readyState + location.protocol") != "completefile:" {}
    }

    /// What an expression is on the page.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Presses a key, as a hand does.
    pub fn press(&mut self, key: &str) {
        let mut down = json!({ "type": "keyDown", "key": key, "code": key });
        if key.chars().count() == 1 {
            down["text"] = json!(key);
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "code": key }));
    }

    /// Clicks into the middle of an element.
    pub fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let at = self.eval(&middle);
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Makes the window so wide, in light or in dark, on the screen or on paper.
    pub fn look(&mut self, width: u32, scheme: &str, media: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
    }

    /// The whole page as a PNG, in base64.
    pub fn screenshot(&mut self) -> String {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        text(&self.call("Page.captureScreenshot", params)["data"])
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}
