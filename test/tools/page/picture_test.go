package page

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	update = flag.Bool("update", false, "take the pictures of docs/ anew, which takes two minutes")
	watch  = flag.Duration("watch", 125*time.Second, "with -update: how long the page watches before")
)

// largest is the size of a picture in the documents, in bytes.
const largest = 200_000

// dark asks for the dark colors.
func dark(on bool) chromedp.Action[chromedp.Void] {
	value := "light"
	if on {
		value = "dark"
	}
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
}

// phone is a small screen that is touched.
func phone() chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch)
}

// TestThePictures has those that docs/status-page.md shows taken with -update, and looks at what they are otherwise.
func TestThePictures(t *testing.T) {
	for _, picture := range []struct {
		name, hash    string
		width, height int
		before        []chromedp.Action[chromedp.Void]
	}{
		{"status-page", "", 1280, 860, []chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(1280, 860), dark(false)}},
		{"status-page-service", "#service=shop/checkout", 1280, 980, []chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(1280, 980), dark(false)}},
		{"status-page-phone", "", 720, 1480, []chromedp.Action[chromedp.Void]{phone(), dark(true)}},
	} {
		t.Run(picture.name, func(t *testing.T) {
			file := "../../../docs/" + picture.name + ".png"
			if *update {
				t.Parallel()
				c := showcase()
				b := open(t, c, c, picture.hash, picture.before...)
				time.Sleep(*watch)
				eval[chromedp.Void](b, `document.activeElement.blur(); scrollTo(0, 0)`)
				if err := os.WriteFile(file, small(t, get(b, chromedp.CaptureScreenshot())), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, err := png.DecodeConfig(bytes.NewReader(data))
			if err != nil || config.Width != picture.width || config.Height != picture.height || len(data) > largest {
				t.Errorf("%s: %d x %d, %d bytes, %v", file, config.Width, config.Height, len(data), err)
			}
		})
	}
}

// small returns the same picture in fewer bytes.
func small(t *testing.T, data []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
