package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/fairlead-lb/fairlead/statuspage"
	"github.com/fairlead-lb/fairlead/view"
)

// patience is how long the browser may take for anything.
const patience = 20 * time.Second

// chromium is the one browser of all tests.
var chromium context.Context

// TestMain starts the browser. Without one nothing is tested, which is a failure.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path, err := exec.LookPath("chromium")
	if err != nil {
		fmt.Fprintln(os.Stderr, "there is no chromium; `make tools` installs it")
		return 1
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer stop()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chromium does not start:", err)
		return 1
	}
	chromium = ctx
	return m.Run()
}

// tab is the page in a tab of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	down       atomic.Bool // the daemon has gone
	mu         sync.Mutex
	complaints []string
}

// open serves the page of a source and opens it, at an address behind the #. What the browser complains of, such
// as an exception or something that the Content-Security-Policy forbids, fails the test.
func open(t *testing.T, source view.Source, meter view.Meter, hash string, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	b := &tab{t: t}
	handler := statuspage.Handler(source, meter)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.down.Load() {
			panic(http.ErrAbortHandler) // hangs up
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithListener(b.listen))
	t.Cleanup(cancel)
	b.ctx, b.url = ctx, server.URL+"/"
	if err := chromedp.Do(ctx); err != nil { // with the context that the tab lives as long as
		t.Fatal(err)
	}
	b.do(call(log.Enable, cdp.Empty{}), call(runtime.Enable, cdp.Empty{}))
	b.do(chromedp.EmulateViewport(1280, 860))
	b.do(before...)
	b.do(call(page.Navigate, page.NavigateParams{URL: b.url + hash}))
	b.until(20*time.Second, `document.getElementById("fresh")?.textContent.startsWith("Live")`)
	t.Cleanup(b.quiet)
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console: %s %s", e.Type, e.Args[0].Value))
	}
}

// quiet fails the test if the browser complained.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser says: %s", c)
	}
	b.complaints = nil
}

// forgive forgets complaints that have a text. There must be one.
func (b *tab) forgive(text string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := []string{}
	for _, c := range b.complaints {
		if !strings.Contains(c, text) {
			rest = append(rest, c)
		}
	}
	if len(rest) == len(b.complaints) {
		b.t.Errorf("the browser did not complain of %q", text)
	}
	b.complaints = rest
}

// call is a command of the browser's protocol that answers nothing.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(actions...))
}

// get does what has a result.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// eval returns the value of a JavaScript expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// until waits until an expression is true, and returns how long it took. It looks at every frame that is painted.
func (b *tab) until(patience time.Duration, expression string) time.Duration {
	b.t.Helper()
	began := time.Now()
	for {
		if eval[bool](b, "Boolean("+expression+")") {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			b.t.Fatalf("after %s it is not true that %s; the page says:\n%s", patience, expression, eval[string](b, `document.body.innerText`))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// text returns the text of the first element that a selector finds.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? "none"`, selector))
}

// texts returns the text of all.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.innerText)`, selector))
}

// keys presses keys, one after the other.
func (b *tab) keys(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// search types into the field for that, from anywhere on the page.
func (b *tab) search(text string) {
	b.t.Helper()
	eval[chromedp.Void](b, `document.activeElement.blur()`)
	b.keys("/")
	eval[chromedp.Void](b, `document.activeElement.value = ""; document.activeElement.dispatchEvent(new Event("input"))`)
	b.do(chromedp.KeyEvent(text))
}

// choose chooses a state to look at.
func (b *tab) choose(state string) {
	b.t.Helper()
	eval[chromedp.Void](b, fmt.Sprintf(`((s) => { s.value = %q; s.dispatchEvent(new Event("change")); })(document.getElementById("state"))`, state))
}

// quote writes text as JavaScript does.
func quote(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}
