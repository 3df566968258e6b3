// What looks at the status page with a browser. A module of its own, so that the daemon's stays small.
module github.com/fairlead-lb/fairlead/test/tools/page

go 1.26.0

replace github.com/fairlead-lb/fairlead => ../../..

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/fairlead-lb/fairlead v0.0.0-00010101000000-000000000000
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
