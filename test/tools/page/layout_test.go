package page

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// contrast returns what is shown with less contrast than WCAG's level AA asks for: 4.5 to 1, 3 to 1 if it is large.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
	const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
		const v = c[i] / 255;
		return sum + part * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	}, 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = rgb(getComputedStyle(e).backgroundColor);
			if (c[3] === 255) return c;
		}
		return [255, 255, 255, 255];
	};
	const bad = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest(".unseen, option, noscript, [aria-disabled=true]")) continue;
		const style = getComputedStyle(e);
		const [a, b] = [light(rgb(style.color)), light(behind(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) bad.push(e.className + " " + walker.currentNode.textContent.trim().slice(0, 30) + ": " + ratio.toFixed(2));
	}
	return bad;
})()`

// TestLayout looks at screens from a phone to a large one, in light and in dark colors.
func TestLayout(t *testing.T) {
	for _, screen := range []struct {
		name   string
		before chromedp.Action[chromedp.Void]
	}{
		{"a phone", phone()}, {"a phone on its side", chromedp.EmulateViewport(740, 360, chromedp.EmulateMobile)},
		{"a narrow phone", chromedp.EmulateViewport(320, 600, chromedp.EmulateMobile)},
		{"a tablet", chromedp.EmulateViewport(900, 1100)}, {"a desk", chromedp.EmulateViewport(1920, 1080)},
	} {
		for _, isDark := range []bool{false, true} {
			for _, hash := range []string{"", "#service=shop/checkout", "#service=ingress/gateway"} {
				t.Run(fmt.Sprintf("%s, dark %v, %s", screen.name, isDark, hash), func(t *testing.T) {
					c := showcase()
					b := open(t, c, c, hash, screen.before, dark(isDark))
					b.until(5*time.Second, `document.querySelectorAll("#rows tr").length === 18`)
					if hash != "" {
						b.until(5*time.Second, `document.getElementById("detail-body").innerText.includes("How packets fare")`)
					}
					if over := eval[int](b, `document.scrollingElement.scrollWidth - innerWidth`); over > 0 {
						t.Errorf("it is %d pixels too wide", over)
					}
					if cut := eval[[]string](b, `[...document.querySelectorAll(".card, #tiles > div, td, th, button, figure")].filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline").map((e) => e.innerText)`); len(cut) > 0 {
						t.Errorf("this is cut off: %q", cut)
					}
					if bad := eval[[]string](b, contrast); len(bad) > 0 {
						t.Errorf("too little contrast: %q", bad)
					}
					ground := eval[string](b, `getComputedStyle(document.body).backgroundColor`)
					if (ground == "rgb(14, 18, 23)") != isDark {
						t.Errorf("the ground is %s", ground)
					}
				})
			}
		}
	}
}

// TestSmallTargets looks at what a finger must hit.
func TestSmallTargets(t *testing.T) {
	c := showcase()
	b := open(t, c, c, "", phone())
	if small := eval[[]string](b, `[...document.querySelectorAll("button, input, select")].filter((e) => e.checkVisibility() && (e.getBoundingClientRect().height < 40 || e.getBoundingClientRect().width < 40)).map((e) => e.id)`); len(small) > 0 {
		t.Errorf("too small for a finger: %q", small)
	}
	// A finger may hit a row anywhere.
	eval[chromedp.Void](b, `document.querySelector("#rows tr td").click()`)
	b.until(5*time.Second, `!document.getElementById("detail").hidden && document.getElementById("detail-body").innerText.includes("How packets fare")`)
	if seen := eval[bool](b, `document.querySelector(".services").checkVisibility()`); seen {
		t.Error("the list is beside the panel, on a phone")
	}
	eval[chromedp.Void](b, `document.getElementById("close").click()`)
	b.until(5*time.Second, `document.querySelector(".services").checkVisibility()`)
}

// TestWithoutMotion asks for none.
func TestWithoutMotion(t *testing.T) {
	c := showcase()
	b := open(t, c, c, "", prefers("prefers-reduced-motion", "reduce"))
	c.change(func() { c.explanations[0].State = "pending" })
	b.until(5*time.Second, `document.querySelector("#rows tr.changed")`)
	if name := eval[string](b, `getComputedStyle(document.querySelector("#rows tr.changed")).animationName`); name != "none" {
		t.Errorf("a row is animated: %s", name)
	}
}
