// Vendure with its database in this process, and a field for the hub's id on customers and groups.
const { PACKAGES, PORT, FOLDER, ADMIN_PASSWORD, COOKIE_SECRET } = process.env;
const { bootstrap, DefaultLogger, LogLevel } = require(`${PACKAGES}/@vendure/core`);

const configuration = {
  apiOptions: { hostname: "127.0.0.1", port: Number(PORT), adminApiPath: "admin-api", shopApiPath: "shop-api" },
  authOptions: {
    tokenMethod: ["bearer", "api-key"],
    superadminCredentials: { identifier: "admin", password: ADMIN_PASSWORD },
    cookieOptions: { secret: COOKIE_SECRET },
    requireVerification: false,
  },
  dbConnectionOptions: { type: "sqljs", location: `${FOLDER}/vendure.sqlite`, autoSave: true, synchronize: true },
  paymentOptions: { paymentMethodHandlers: [] },
  customFields: {
    Customer: [{ name: "externalId", type: "string", unique: true, nullable: true }],
    CustomerGroup: [{ name: "externalId", type: "string", unique: true, nullable: true }],
  },
  logger: new DefaultLogger({ level: LogLevel.Warn }),
};

bootstrap(configuration).catch((error) => {
  console.error(error);
  process.exit(1);
});
