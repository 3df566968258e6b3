package page

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-lb/fairlead/view"
)

// TestAChangeIsSeenWithinASecond counts from the moment at which the daemon knows.
func TestAChangeIsSeenWithinASecond(t *testing.T) {
	c := newCluster(service("shop", "cart", "10.96.0.10", "10.244.1.5:8080"))
	b := open(t, c, c, "")
	b.until(time.Second, `document.querySelectorAll("#rows tr").length === 1`)
	for i, step := range []struct {
		change func()
		seen   string
	}{
		{func() { c.explanations = append(c.explanations, service("shop", "web", "10.96.0.11")) }, `document.querySelectorAll("#rows tr")[1]?.innerText.includes("no endpoints")`},
		{func() { c.explanations[1] = service("shop", "web", "10.96.0.11", "10.244.1.6:80") }, `document.querySelectorAll("#rows tr")[1].innerText.includes("1 of 1")`},
		{func() { c.explanations[0].State = view.Pending }, `document.querySelector("#rows tr").innerText.includes("pending")`},
		{func() { c.explanations = c.explanations[1:] }, `!document.querySelector("#rows").innerText.includes("cart")`},
		{func() { c.status.Healthy = false }, `document.getElementById("health").innerText.includes("Not healthy")`},
		{func() { c.status.Drift.Servers = 3 }, `document.getElementById("tiles").innerText.match(/Drift\n3/)`},
		{func() {
			c.status.Recent = append(c.status.Recent, view.Occurrence{At: time.Now(), Service: "shop/web", Text: "something happened"})
		}, `document.getElementById("recent").innerText.includes("something happened")`},
		{func() {
			c.status.Draining = 1
			c.drains = []view.Endpoint{{Namespace: "shop", Name: "web", Server: "tcp 10.96.0.11:80", Real: view.Real{Address: "10.244.9.9:80", State: view.Draining}}}
		}, `document.getElementById("drains").innerText.includes("10.244.9.9:80 of shop/web")`},
	} {
		when := c.change(step.change)
		b.until(10*time.Second, step.seen)
		if took := time.Since(when); took > time.Second {
			t.Errorf("step %d was seen after %s", i, took)
		} else {
			t.Logf("step %d was seen after %s", i, took.Round(time.Millisecond))
		}
	}
	if got := b.text("#announcer"); !strings.Contains(got, "Not healthy") && !strings.Contains(got, "shop/web") {
		t.Errorf("a screen reader hears %q", got)
	}
}

func TestAnIdleDaemonIsAskedLittle(t *testing.T) {
	c := newCluster(service("shop", "cart", "10.96.0.10", "10.244.1.5:8080"))
	open(t, c, c, "")
	before := c.count()
	time.Sleep(4 * time.Second)
	if n := c.count() - before; n < 6 || n > 11 {
		t.Errorf("%d answers in 4 seconds in which nothing happened", n)
	}
}

func (c *cluster) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers
}

func TestPauseAndFailure(t *testing.T) {
	c := newCluster(service("shop", "cart", "10.96.0.10", "10.244.1.5:8080"))
	b := open(t, c, c, "")
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	b.until(time.Second, `document.getElementById("fresh").innerText.startsWith("Paused")`)
	time.Sleep(time.Second)
	before := c.count()
	time.Sleep(2 * time.Second)
	if n := c.count() - before; n > 0 {
		t.Errorf("%d questions while paused", n)
	}
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	b.until(time.Second, `document.getElementById("fresh").innerText.startsWith("Live")`)

	b.down.Store(true)
	b.until(20*time.Second, `!document.getElementById("banner").hidden && document.getElementById("banner").innerText.includes("cannot be reached")`)
	b.until(time.Second, `document.getElementById("fresh").innerText.startsWith("Not live since")`)
	if got := b.text("#rows"); !strings.Contains(got, "cart") {
		t.Errorf("what was known has gone: %q", got)
	}
	b.down.Store(false)
	b.until(20*time.Second, `document.getElementById("banner").hidden && document.getElementById("fresh").innerText.startsWith("Live")`)
	b.until(time.Second, `document.getElementById("announcer").innerText.includes("answers again")`)
	b.forgive("ERR_EMPTY_RESPONSE")
}

func TestSearch(t *testing.T) {
	c := newCluster(
		service("shop", "cart", "10.96.0.10", "10.244.1.5:8080"), service("shop", "web", "10.96.0.11", "10.244.2.7:8080"),
		service("billing", "ledger", "10.96.7.70", "10.244.3.3:9000"), service("billing", "empty", "fd00::10"))
	b := open(t, c, c, "")
	for search, want := range map[string][]string{
		"cart": {"shop/cart"}, "billing": {"billing/ledger", "billing/empty"}, "billing/led": {"billing/ledger"},
		"10.96.0.11": {"shop/web"}, "10.244.3.3": {"billing/ledger"}, "fd00::": {"billing/empty"}, "nobody": {},
		"LEDGER": {"billing/ledger"}, "": {"shop/cart", "shop/web", "billing/ledger", "billing/empty"},
	} {
		b.search(search)
		names := `[...document.querySelectorAll("#rows a.name")].map((a) => a.textContent)`
		b.until(3*time.Second, names+`.join(" ") === "`+strings.Join(want, " ")+`"`)
		if empty := eval[bool](b, `document.getElementById("empty").hidden`); empty != (len(want) > 0) {
			t.Errorf("%q: hidden is %v", search, empty)
		}
	}
	b.search("")
	b.until(3*time.Second, `document.querySelectorAll("#rows tr").length === 4`)
	b.choose("no endpoints")
	b.until(3*time.Second, `document.querySelectorAll("#rows tr").length === 1`)
	if got := b.texts("#rows a.name"); !slices.Equal(got, []string{"billing/empty"}) {
		t.Errorf("without endpoints are %q", got)
	}
	// The address of the page says what it shows.
	hash := eval[string](b, "location.hash")
	again := open(t, c, c, hash)
	again.until(3*time.Second, `document.querySelectorAll("#rows tr").length === 1`)
	if got := eval[string](again, `document.getElementById("state").value`); got != "no endpoints" {
		t.Errorf("%s shows state %q", hash, got)
	}
}
