package main

import (
	"net"
	"strings"

	"github.com/spf13/cobra"

	"confab/cmd/internal/config"
)

func (a *app) configDNS() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use:   "dns",
		Short: "Print the records to put into the DNS",
		Long: `Print the records that tell clients where the server of a mail domain is (RFC 6120
§3.2.1, XEP-0368), in the form of a zone file. Without them, clients look for
the server at the domain itself, on port 5222.`,
		Example: `  confab config dns --host chat.example.com`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.source(c).Load()
			if err != nil {
				return err
			}
			if len(l.Domains) == 0 {
				return usagef("no mail domain is named: say --domains example.com")
			}
			for _, domain := range l.Domains {
				target := host
				if target == "" {
					target = domain
				}
				a.printRecords(l, config.ASCII(domain), config.ASCII(target))
			}
			if host == "" {
				a.note("; If the server's machine has another name than the domain, say --host NAME. NAME needs an address (A, AAAA), no CNAME.")
			}
			return nil
		},
	}
	c.Flags().StringVar(&host, "host", "", "`name` of the server's machine in the DNS (default: the domain)")
	return settingFlags(c)
}

// printRecords prints the SRV records of a domain: direct TLS is preferred, as
// it needs a round trip less and passes more firewalls.
func (a *app) printRecords(l *config.Loaded, domain, target string) {
	for _, service := range []struct {
		name      string
		priority  int
		addresses []string
	}{{"_xmpps-client._tcp", 5, l.Listen.TLS}, {"_xmpp-client._tcp", 10, l.Listen.StartTLS}} {
		for _, address := range service.addresses {
			_, port, err := net.SplitHostPort(address)
			if err == nil && port != "0" {
				a.printf("%s.%s. 3600 IN SRV %d 0 %s %s.\n", service.name, strings.TrimSuffix(domain, "."), service.priority, port, strings.TrimSuffix(target, "."))
			}
		}
	}
}
