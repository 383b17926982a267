package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Show, check and prepare the settings",
		a.configInit(), a.configSample(), a.configShow(), a.configCheck(), a.configDNS(), a.configHostMeta(), a.configGrafana(), a.configReference())
}

func (a *app) configSample() *cobra.Command {
	return &cobra.Command{
		Use:   "sample",
		Short: "Print a settings file with all settings, explained",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return config.WriteSample(a.out, config.Default()) },
	}
}

func (a *app) configGrafana() *cobra.Command {
	return &cobra.Command{
		Use:   "grafana",
		Short: "Print a Grafana dashboard of the figures at listen.metrics",
		Long: `Print a dashboard to be imported into Grafana. It shows what Prometheus gets from
listen.metrics, under the job name confab:

  scrape_configs:
    - job_name: confab
      static_configs:
        - targets: ["127.0.0.1:9280"]`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return server.WriteDashboard(a.out) },
	}
}

func (a *app) configReference() *cobra.Command {
	return &cobra.Command{
		Use:    "reference",
		Short:  "Print the settings as they stand in the README",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return config.WriteReference(a.out) },
	}
}

// shownSetting is a setting in force.
type shownSetting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

func (a *app) configShow() *cobra.Command {
	return a.jsonFlag(settingFlags(&cobra.Command{
		Use:   "show",
		Short: "Print the settings in force, and where each comes from",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.source(c).Load()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, f := range config.Fields(l.Settings) {
				from := l.Origin[f.Name]
				if from == "" {
					from = "default"
				}
				if a.json {
					if err := a.printJSON(shownSetting{f.Name, f.Any(), from}); err != nil {
						return err
					}
					continue
				}
				row(w, f.Name+" = "+f.Shown(), "# "+from)
			}
			return w.Flush()
		},
	}))
}

func (a *app) configInit() *cobra.Command {
	return settingFlags(&cobra.Command{
		Use:   "init",
		Short: "Make the data folder without starting the server",
		Long: `Make what the first 'confab serve' would make: the data folder, a settings file, a
key with a self-signed certificate, and the account admin, whose password is
printed. What exists already is left alone.`,
		Example: `  confab config init --domains example.com
  confab user import staff.csv
  confab serve`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.source(c).Load()
			if err != nil {
				return err
			}
			first, err := a.prepare(c.Context(), l)
			if err == nil && !first {
				a.note("there is data in %s already: no account was added", l.Data)
			}
			return err
		},
	})
}

func (a *app) configCheck() *cobra.Command {
	return settingFlags(&cobra.Command{
		Use:   "check",
		Short: "Examine settings, certificates and ports",
		Long: `Examine the settings, the certificates that they name, whether the data folder can
be written to, and, while no server runs, whether the ports are free. The exit
code is 0 if confab would start; warnings tell what clients would object to.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.source(c).Load()
			if err != nil {
				return err
			}
			if !l.Exists {
				a.note("note: there is no settings file %s; the first start writes it", l.File)
			}
			warnings := append(l.Warnings, server.NameWarnings(l)...)
			problems := new(config.Error)
			if err := l.CheckServed(); err != nil {
				problems.Problems = append(problems.Problems, err.Error())
			}
			if info, err := os.Stat(l.Data); err == nil && info.Mode().Perm()&0o077 != 0 {
				warnings = append(warnings, fmt.Sprintf("%s can be read by other users of this machine: chmod 700 %s", l.Data, l.Data))
			}
			for _, err := range []error{l.CheckData(), server.CheckComponents(l)} {
				if err != nil {
					problems.Problems = append(problems.Problems, err.Error())
				}
			}
			certs, err := config.LoadCertificates(l.Settings)
			switch {
			case err == nil:
				warnings = append(warnings, certs.Warnings(l.Domains, time.Now())...)
				warnings = append(warnings, l.WebWarnings(certs)...)
			case l.Origin["tls.certificate"] == "" && errors.Is(err, os.ErrNotExist):
				a.note("note: there is no certificate yet; the first start makes a self-signed one")
			default:
				problems.Problems = append(problems.Problems, err.Error())
			}
			if client, err := admin.Dial(c.Context(), l.ControlSocket()); err == nil {
				err = client.Close()
				a.note("note: a server runs, so the ports were not tried")
				if err != nil {
					return err
				}
			} else {
				problems.Problems = append(problems.Problems, tryPorts(l)...)
			}
			for _, text := range warnings {
				a.note("warning: %s", text)
			}
			if len(problems.Problems) > 0 {
				return problems
			}
			a.printf("the settings are good\n")
			return nil
		},
	})
}

// tryPorts opens and closes the listeners.
func tryPorts(l *config.Loaded) (problems []string) {
	for _, l := range server.Listeners(l) {
		for _, address := range l.Addresses {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				problems = append(problems, server.ListenError(l.Setting, err).Error())
				continue
			}
			listener.Close()
		}
	}
	return problems
}
