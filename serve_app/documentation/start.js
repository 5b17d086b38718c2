// Shows the document that this service serves. In a file of its own, so that the page may forbid scripts within pages.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
