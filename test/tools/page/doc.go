// Package page looks at the status page with a browser that has no window: what people see, click, type and hear
// of it. `make unit` runs it.
package page
