package page

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-lb/fairlead/view"
)

// hostile are names that no API server would take. A directory of manifests might have them.
func hostile() []string {
	return []string{
		`<img src=x onerror=alert(1)>`, `"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `javascript:alert(1)`,
		`&lt;b&gt;&amp;`, "a\u202etxt.exe", "line\nbreak\ttab\u0000nul", "#q=x&service=y", "../../v1/status?x=%2F", `{{constructor.constructor("alert(1)")()}}`,
		strings.Repeat("w", 253), "__proto__", "",
	}
}

// TestHostileNamesAreText puts them wherever the page shows what a cluster says.
func TestHostileNamesAreText(t *testing.T) {
	c := newCluster()
	all := strings.Join(hostile(), " ")
	for i, name := range hostile() {
		e := service("ns"+name, name, "10.96.0.10", "10.244.1.5:80")
		e.State, e.Reason, e.Remarks, e.Settings, e.HealthNow = name, name, []string{name}, []string{name}, name
		e.Problems = []view.Problem{{Reason: name, Text: name}}
		e.Servers[0].Name, e.Servers[0].Kind, e.Servers[0].Owner, e.Servers[0].Port = "tcp "+name+":80", name, name, name
		e.Verdicts[0].Address, e.Verdicts[0].Why, e.Verdicts[0].Node, e.Verdicts[0].Slice = name, name, name, name
		e.Paths[0].Server, e.Paths[0].To, e.Paths[0].Masquerade = name, name, name
		if i%2 == 0 {
			e.State = view.Impaired
		}
		c.explanations = append(c.explanations, e)
		c.status.Recent = append(c.status.Recent, view.Occurrence{At: time.Now(), Service: "ns" + name + "/" + name, Text: name})
		c.status.Problems = append(c.status.Problems, view.Reason{Reason: name, Count: 1})
		c.drains = append(c.drains, view.Endpoint{Namespace: name, Name: name, Server: name, Real: view.Real{Address: name}})
	}
	c.status.Notes = hostile()
	c.status.Node, c.status.Version, c.status.Kernel, c.status.Source, c.status.Phase = all, all, all, all, all
	c.status.LastError = &view.Error{At: time.Now(), Text: all, Current: true}
	c.status.Draining = len(c.drains)
	b := open(t, c, c, "")
	b.until(5*time.Second, `document.querySelectorAll("#rows tr").length > 0`)
	names := eval[[]string](b, `[...document.querySelectorAll("#rows a.name")].map((a) => a.textContent)`)
	for i, name := range hostile() {
		want := "ns" + name + "/" + name
		if !slices.Contains(names, want) {
			t.Errorf("%q is not in the list, as it is, but %q", want, names[min(i, len(names)-1)])
		}
		eval[any](b, `document.querySelectorAll("#rows a.name")[`+string(rune('0'+i/10))+string(rune('0'+i%10))+` * 1].click()`)
		if name == "" || strings.Contains(name, "\u0000") {
			continue // a URL cannot tell these
		}
		b.until(5*time.Second, `document.querySelector("#detail-body table") && document.getElementById("detail-name").textContent.endsWith("/" + `+quote(name)+`)`)
		if !eval[bool](b, `document.getElementById("detail-body").textContent.includes(`+quote(name)+`)`) {
			t.Errorf("%q is not in the panel", name)
		}
	}
	// No element of theirs, no handler, no link but the page's own.
	if n := eval[int](b, `document.querySelectorAll("img:not([src='/icon.svg']), script:not([src='/app.js']), b:not(.verdict b), [onerror], [onmouseover], iframe").length`); n > 0 {
		t.Errorf("%d elements came from a name", n)
	}
	if links := eval[[]string](b, `[...document.querySelectorAll("a")].map((a) => a.getAttribute("href")).filter((h) => !h.startsWith("#"))`); len(links) > 0 {
		t.Errorf("links lead to %q", links)
	}
	if width := eval[int](b, `document.scrollingElement.scrollWidth - innerWidth`); width > 0 {
		t.Errorf("a long name makes the page %d pixels too wide", width)
	}
}

// TestTheBrowserForbidsMarkup tries what the page's own scripts never do: a mistake there would stay one.
func TestTheBrowserForbidsMarkup(t *testing.T) {
	c := newCluster()
	b := open(t, c, c, "")
	for script, want := range map[string]string{
		`document.body.innerHTML = "<b>x</b>"`:                                      "TrustedHTML",
		`document.createElement("script").textContent = "document.title = 'taken'"`: "TrustedScript",
	} {
		if got := eval[string](b, `(() => { try { `+script+`; return "done"; } catch (e) { return String(e); } })()`); !strings.Contains(got, want) {
			t.Errorf("%s: %s", script, got)
		}
	}
	eval[chromedp.Void](b, `globalThis.forbidden = []; addEventListener("securitypolicyviolation", (e) => forbidden.push(e.effectiveDirective))`)
	for script, want := range map[string]string{
		`fetch("http://127.0.0.1:1/").catch(() => {})`:                                                          "connect-src",
		`new Image().src = "http://127.0.0.1:1/x.png"`:                                                          "img-src",
		`document.body.setAttribute("style", "color: red")`:                                                     "style-src-attr",
		`document.head.append(Object.assign(document.createElement("base"), { href: "http://127.0.0.1:1/" }))`:  "base-uri",
		`document.body.append(Object.assign(document.createElement("iframe"), { src: "http://127.0.0.1:1/" }))`: "frame-src",
	} {
		eval[chromedp.Void](b, `void (`+script+`)`)
		b.until(5*time.Second, `forbidden.includes("`+want+`")`)
	}
	b.forgive("") // the browser tells of each
}
