package room

// Phase is what a client does beneath what it says.
func (c *Client) Phase() string { return phaseNames[c.phase] }

// Login is the client's name for its login, which answers must repeat.
func (c *Client) Login() uint64 { return c.ask.Login }

// Wait is the back-off.
var Wait = wait
