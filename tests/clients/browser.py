"""The owner's browser: opens pages of a Venom, fills their forms in and goes where they lead.

It keeps to what real browsers do and what the pages rely on: a form carries the Origin of its page,
cookies come back, and a form may lead only where the page's policy lets it. Redirects to other sites
are not followed: where they lead is what the caller wants to know. Standard library only.
"""

import http.client
import http.cookies
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

ANSWER_SECONDS_MAX = 60
REDIRECTS_MAX = 5
AGENT = "Mozilla/5.0 (the owner's browser)"


class Surprise(Exception):
    """The page is not what the owner was told to expect."""


class Answer:
    """An HTTP answer, and how to get one: every request has a connection of its own."""

    def __init__(self, method, url, headers=None, body=None, at=None):
        parts = urlsplit(url)
        # A server behind a proxy is reached at its own address, under the proxy's name.
        connection = http.client.HTTPConnection(at or parts.netloc, timeout=ANSWER_SECONDS_MAX)
        target = parts.path or "/"
        if parts.query:
            target += "?" + parts.query
        try:
            connection.request(method, target, body=body, headers={"Host": parts.netloc, **(headers or {})})
            response = connection.getresponse()
            self.body = response.read()
        finally:
            connection.close()
        self.url = url
        self.status = response.status
        self.headers = response.headers

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def leads_to(self):
        """Where a redirect leads, absolute; None if it is none."""
        return urljoin(self.url, self.headers["Location"]) if 300 <= self.status < 400 else None


class Form:
    """A form as a page shows it: the values that it would send if nobody touched it."""

    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").lower()
        self.values = {}
        self.options = {}  # What there is to choose from, by name.
        self.buttons = set()


class Reader(HTMLParser):
    """Reads the forms of a page, and its words."""

    def __init__(self, html):
        super().__init__()
        self.forms = []
        self.words = ""
        self.form = None
        self.select = None
        self.in_style = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        name, value = attributes.get("name"), attributes.get("value") or ""
        kind = attributes.get("type") or ("submit" if tag == "button" else "text")
        self.in_style = tag == "style"
        if tag == "form":
            self.form = Form(attributes)
            # Hidden until a script finds that passkeys are possible here; this browser has no script.
            if "hidden" not in attributes:
                self.forms.append(self.form)
        if self.form is None:
            return
        if tag == "select":
            self.select = name
        elif tag == "option" and self.select:
            self.form.options.setdefault(self.select, []).append(value)
            if "selected" in attributes or self.select not in self.form.values:
                self.form.values[self.select] = value
        elif tag == "button" and name:
            self.form.buttons.add((name, value))
        elif tag == "input" and name and kind == "radio":
            self.form.options.setdefault(name, []).append(value)
            if "checked" in attributes:
                self.form.values[name] = value
        elif tag == "input" and name and kind != "submit":
            self.form.values[name] = value

    def handle_endtag(self, tag):
        self.in_style = False
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = None

    def handle_data(self, data):
        if not self.in_style:
            self.words += data


class Page(Answer):
    """A page in the browser."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        read = Reader(self.text)
        self.forms = read.forms
        self.words = " ".join(read.words.split())

    def form_with(self, name):
        """The first form that has this field or button; None if there is none."""
        for form in self.forms:
            if name in form.values or any(name == button for button, _ in form.buttons):
                return form
        return None


class Browser:
    def __init__(self, origin, passphrase, at=None):
        self.origin = origin
        self.passphrase = passphrase
        self.at = at  # Where the server listens, if not at its origin.
        self.cookies = {}
        self.sign_ins = 0

    def open(self, url):
        return self._follow(self._request("GET", urljoin(self.origin, url)))

    def submit(self, page, form, button=None, **values):
        """Fills the form in, as far as told, and presses the button."""
        for name, value in values.items():
            if name not in form.values and value not in form.options.get(name, []):
                raise Surprise(f"the form has no {name}={value}")
            if name in form.options and value not in form.options[name]:
                raise Surprise(f"{name} has no choice {value}, only {form.options[name]}")
        sent = {**form.values, **values}
        if button:
            if button not in form.buttons:
                raise Surprise(f"the form has no button {button}, only {sorted(form.buttons)}")
            sent[button[0]] = button[1]
        if form.method != "post":
            raise Surprise(f"the form is sent by {form.method}: its fields would stand in the address")
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        answer = self._request("POST", urljoin(page.url, form.action), headers, urlencode(sent))
        return self._follow(answer, policy=page.headers["Content-Security-Policy"] or "")

    def consent_page(self, url):
        """Opens the address that an app sends the owner to, signing in if asked."""
        page = self.open(url)
        form = page.form_with("passphrase")
        if form is None:
            return page
        self.sign_ins += 1
        return self.submit(page, form, passphrase=self.passphrase)

    def answer_app(self, url, decision="allow", **choices):
        """Where the owner's answer to an app leads, having chosen rights and space as told."""
        page = self.consent_page(url)
        if page.leads_to:  # The request was answered without asking the owner.
            return page.leads_to
        form = page.form_with("decision")
        if form is None:
            raise Surprise(f"no consent page but {page.status}: {page.words[:300]}")
        page = self.submit(page, form, ("decision", decision), **choices)
        if not page.leads_to:
            raise Surprise(f"the consent led nowhere: {page.status}, {page.words[:300]}")
        return page.leads_to

    def _request(self, method, url, headers=None, body=None):
        sent = {"User-Agent": AGENT, "Accept": "text/html", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        page = Page(method, url, sent, body, self.at)
        for line in page.headers.get_all("Set-Cookie", []):
            self._keep(line)
        return page

    def _keep(self, line):
        for name, cookie in http.cookies.SimpleCookie(line).items():
            secure = self.origin.startswith("https://")
            if not cookie["httponly"] or cookie["samesite"] != "Lax" or bool(cookie["secure"]) != secure:
                raise Surprise(f"the cookie {name} is not as it should be: {line.partition(';')[2]}")
            if name.startswith("__Host-") != secure or cookie["domain"] or cookie["path"] != "/":
                raise Surprise(f"the cookie {name} is not bound to its host")
            if cookie["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = cookie.value

    def _follow(self, page, policy=None):
        """Follows redirects within the site. Those behind a form are held against the page's policy."""
        for _ in range(REDIRECTS_MAX):
            target = page.leads_to
            if target is None:
                return page
            if policy is not None and not lets_forms_lead_to(policy, self.origin, target):
                raise Surprise(f"a browser would not go on to {target}: {policy}")
            if not target.startswith(self.origin + "/"):
                return page
            page = self._request("GET", target)
        raise Surprise(f"more than {REDIRECTS_MAX} redirects, the last to {page.leads_to}")


def lets_forms_lead_to(policy, origin, target):
    """The directive form-action of a Content-Security-Policy, as far as pages of ours use it."""
    sources = [part.split()[1:] for part in policy.split(";") if part.split()[:1] == ["form-action"]]
    if not sources:
        return True
    parts = urlsplit(target)
    there = f"{parts.scheme}://{parts.netloc}"
    return any(
        there == (origin if source == "'self'" else source) or source == f"{parts.scheme}:" for source in sources[0]
    )


def answered(url):
    """The parameters that an address carries, each once."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Surprise(f"a parameter comes twice: {url}")
    return found
