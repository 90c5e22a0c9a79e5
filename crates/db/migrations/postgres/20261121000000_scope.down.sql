DROP FUNCTION stylobate_may_see(uuid);
