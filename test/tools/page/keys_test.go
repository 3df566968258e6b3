package page

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestKeys uses the page without a mouse.
func TestKeys(t *testing.T) {
	c := newCluster()
	for i := range 120 {
		c.explanations = append(c.explanations, service("shop", fmt.Sprintf("web-%03d", i), fmt.Sprintf("10.96.0.%d", i), "10.244.1.5:80"))
	}
	c.written()
	b := open(t, c, c, "")
	b.until(2*time.Second, `document.querySelectorAll("#rows tr").length === 50`)
	focused := func() string {
		return eval[string](b, `document.activeElement.id || document.activeElement.textContent`)
	}
	step := func(want string, keys ...string) {
		t.Helper()
		b.keys(keys...)
		if got := focused(); got != want {
			t.Errorf("after %q the focus is at %q, not %q", keys, got, want)
		}
	}
	step("skip", kb.Tab)
	step("service-list", kb.Enter)
	step("search", kb.Tab)
	step("state", kb.Tab)
	step("shop/web-000", kb.Tab)
	step("search", kb.ArrowUp)
	step("shop/web-000", kb.ArrowDown)
	step("shop/web-002", kb.ArrowDown, kb.ArrowDown)
	step("shop/web-001", kb.ArrowUp)
	step("shop/web-049", kb.End)
	step("shop/web-000", kb.Home)
	// A refresh of the list does not take the focus away.
	c.change(func() { c.explanations[0].State = "pending" })
	b.until(2*time.Second, `document.querySelector("#rows tr").innerText.includes("pending")`)
	step("shop/web-001", kb.ArrowDown)
	b.keys(kb.Enter)
	b.until(2*time.Second, `document.getElementById("detail-body").innerText.includes("How packets fare")`)
	if got := focused(); got != "detail-name" {
		t.Errorf("with the panel the focus is at %q", got)
	}
	step("close", kb.Tab)
	b.keys(kb.Escape)
	b.until(2*time.Second, `document.getElementById("detail").hidden`)
	if got := focused(); got != "shop/web-001" {
		t.Errorf("behind the panel the focus is at %q", got)
	}
	b.keys("/")
	b.keys("w", "e", "b", "-", "1", "1")
	b.until(2*time.Second, `document.querySelectorAll("#rows tr").length === 10`)
	b.until(2*time.Second, `document.getElementById("announcer").innerText === "10 Services found."`)
	b.keys(kb.Escape)
	b.until(2*time.Second, `document.querySelectorAll("#rows tr").length === 50`)
	step("search")
	if outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the outline of what has the focus is %s", outline)
	}
}

// TestEverythingHasAName reads what a screen reader does.
func TestEverythingHasAName(t *testing.T) {
	c := showcase()
	for i := range 60 {
		c.explanations = append(c.explanations, service("z", fmt.Sprint("more-", i), "10.96.31.1"))
	}
	b := open(t, c, c, "#service=shop/checkout")
	b.until(5*time.Second, `document.getElementById("detail-body").innerText.includes("How packets fare")`)
	tree := get(b, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	seen := map[string]int{}
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil {
			continue
		}
		role, name := strings.Trim(string(node.Role.Value), `"`), ""
		if node.Name != nil {
			name = strings.Trim(string(node.Name.Value), `" `)
		}
		seen[role]++
		switch role {
		case "button", "link", "searchbox", "combobox", "table", "columnheader", "rowheader", "heading", "navigation", "region", "img", "image":
			if name == "" {
				t.Errorf("there is a %s without a name", role)
			}
		}
	}
	for _, role := range []string{"banner", "main", "contentinfo", "search", "navigation", "heading", "table", "row", "columnheader", "rowheader", "cell", "button", "searchbox", "combobox", "status", "link"} {
		if seen[role] == 0 {
			t.Errorf("there is no %s; there are %v", role, seen)
		}
	}
	// Headings go down one level at a time, from one h1.
	levels := eval[[]int](b, `[...document.querySelectorAll("h1, h2, h3")].filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1]))`)
	for i, level := range levels {
		if i == 0 && level != 1 || i > 0 && (level == 1 || level > levels[i-1]+1) {
			t.Errorf("the headings' levels are %v", levels)
			break
		}
	}
}
