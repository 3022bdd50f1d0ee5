/** Runs one of Gerrit's commands, without the war that usually does: java RunGerrit Daemon -d SITE ... */
public final class RunGerrit {
  public static void main(String[] arguments) throws Exception {
    Class<?> command = Class.forName("com.google.gerrit.pgm." + arguments[0]);
    Object instance = command.getDeclaredConstructor().newInstance();
    String[] rest = java.util.Arrays.copyOfRange(arguments, 1, arguments.length);
    Object status = command.getMethod("main", String[].class).invoke(instance, (Object) rest);
    System.exit(status instanceof Integer ? (Integer) status : 0);
  }
}
