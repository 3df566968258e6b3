package main

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// TestTheScrapeConfiguration takes the one of docs/monitoring.md and gives it what Prometheus discovers of Pods.
func TestTheScrapeConfiguration(t *testing.T) {
	page, err := os.ReadFile(root + "docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\nscrape_configs:")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/monitoring.md has no scrape_configs")
	}
	var config struct {
		Jobs []struct {
			Name    string            `yaml:"job_name"`
			Relabel []*relabel.Config `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte("scrape_configs:"+text), &config); err != nil {
		t.Fatal(err)
	}
	job := config.Jobs[0]
	if job.Name != "fairlead" {
		t.Errorf("the job is %q", job.Name)
	}
	for _, c := range job.Relabel {
		if err := c.Validate(model.UTF8Validation); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ app, init, ip, want string }{
		{"fairlead", "false", "192.0.2.7", "192.0.2.7:10249"},
		{"fairlead", "false", "2001:db8::7", "[2001:db8::7]:10249"},
		{"fairlead", "true", "192.0.2.7", ""},
		{"other", "false", "192.0.2.7", ""},
	} {
		b := labels.NewBuilder(labels.FromStrings("__address__", c.ip, "__meta_kubernetes_pod_ip", c.ip, "__meta_kubernetes_pod_node_name", "node-7",
			"__meta_kubernetes_pod_label_app_kubernetes_io_name", c.app, "__meta_kubernetes_pod_container_init", c.init))
		keep := relabel.ProcessBuilder(b, job.Relabel...)
		got := b.Labels()
		if keep != (c.want != "") || keep && (got.Get("__address__") != c.want || got.Get("instance") != "node-7") {
			t.Errorf("%v: kept %v as %s", c, keep, got)
		}
	}
}
